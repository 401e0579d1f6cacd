//! From local energies to the gradient of all parameters: steps 5 and 6 of the journey.
//!
//! The gradient is taken over the distinct samples of spans, which are the same however much memory there is, and chunks of
//! a span are whole blocks of the sums over rows. So every sum has the same terms in the same order under any budget.

use super::autoregressive::ForcedPass;
use super::chains::UnnormalisedPass;
use super::estimator::Estimator;
use super::sector::head_shape;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::energy::EnergyWeights;
use crate::kernels::linear::GradientInto;
use crate::kernels::rows::Window;
use crate::model::{LogPsi, LogPsiGradient, Model, Outcomes, WaveFunction};
use crate::physics::Patching;

/// log ψ of a window of samples, and the gradient of a weighted sum of its parts.
pub(super) trait GradientPass {
    /// Records log ψ of the window's samples, `tokens` (B, T) and `sample_of` (B), and keeps what the gradient needs.
    /// Returns what [`GradientPass::backward`] begins from.
    fn forward(&self, plan: &mut Plan, window: &Window, tokens: &View, sample_of: &View) -> Result<Outcomes>;

    /// Records the gradient of Σ_b d_log_p[b] log P(σ_b) + d_phase[b] phase(σ_b) from what the pass before `kept`.
    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        kept: Outcomes,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()>;

    /// What adds up to log ψ of each sample.
    fn log_psi(&self) -> LogPsi;
}

/// Where a pass with gradient puts log ψ.
pub(super) struct LogPsiBuffers {
    log_p: Buffer,
    phase: Option<Buffer>,
}

impl LogPsiBuffers {
    pub fn new(gpu: &Gpu, elements: u64, complex: bool) -> Result<Self> {
        let buffer = |name: &str| gpu.buffer(&format!("ketformer.training.{name}"), elements);
        Ok(Self { log_p: buffer("log_p")?, phase: complex.then(|| buffer("phase")).transpose()? })
    }

    pub fn views(&self) -> LogPsi {
        LogPsi { log_p: self.log_p.view(), phase: self.phase.as_ref().map(|phase| phase.view()) }
    }
}

/// A weight by log P and, where the wave function is complex, one by the phase, for each of a batch of samples: one buffer
/// of two parts.
pub(super) struct Weighting {
    buffer: Buffer,
    samples: u64,
    phase_at: Option<u64>,
}

impl Weighting {
    pub fn new(gpu: &Gpu, name: &str, samples: u32, complex: bool) -> Result<Self> {
        let samples = u64::from(samples);
        // Views begin at multiples of 64 elements.
        let phase_at = complex.then_some(samples.next_multiple_of(64));
        let buffer = gpu.buffer(name, phase_at.unwrap_or(0) + samples)?;
        Ok(Self { buffer, samples, phase_at })
    }

    /// Elements of one for `samples` samples, at most.
    pub fn elements(samples: u64, parts: u64) -> u64 {
        samples + (parts - 1) * samples.next_multiple_of(64)
    }

    /// Both parts.
    pub fn whole(&self) -> View {
        self.buffer.view()
    }

    /// Where the weights by phases begin.
    pub fn phase_at(&self) -> Option<u32> {
        self.phase_at.map(|at| at as u32)
    }

    /// Writes the weights of all samples; those by phases are none where the wave function is real.
    pub fn write(&self, gpu: &Gpu, weights: &[f32], phase_weights: &[f32]) -> Result<()> {
        let LogPsiGradient { d_log_p, d_phase, .. } = self.from(0)?;
        d_log_p.write(gpu, weights)?;
        d_phase.map_or(Ok(()), |d_phase| d_phase.write(gpu, phase_weights))
    }

    /// The weights of samples from `first` on.
    pub fn from(&self, first: u32) -> Result<LogPsiGradient> {
        let part = |at: u64| self.buffer.range(self.buffer.label(), at, self.samples);
        Ok(LogPsiGradient { d_log_p: part(0)?, d_phase: self.phase_at.map(part).transpose()?, first })
    }
}

/// The pass of a wave function over at most `samples` samples.
pub(super) fn gradient_pass<'a>(
    gpu: &Gpu,
    model: &dyn Model,
    wave_function: &'a WaveFunction,
    patching: &Patching,
    samples: u32,
) -> Result<Box<dyn GradientPass + 'a>> {
    let complex = model.is_complex();
    Ok(match wave_function {
        WaveFunction::Autoregressive(network) => {
            Box::new(ForcedPass::new(gpu, &**network, head_shape(model, patching), samples, complex)?)
        }
        WaveFunction::Unnormalised(network) => Box::new(UnnormalisedPass::new(gpu, &**network, samples, complex)?),
    })
}

/// Records the weights of the distinct samples, the pass over them and its gradient, chunk by chunk.
///
/// # Errors
/// As [`Plan::launch`] and [`crate::gpu::Gpu::buffer`].
pub(super) fn record_gradient(plan: &mut Plan, estimator: &Estimator) -> Result<()> {
    let spans = estimator.spans();
    let (gpu, chunk) = (&estimator.gpu, estimator.sizes.training);
    let pass = estimator.sampler.gradient_pass(estimator)?;
    // Distinct samples first in each span.
    let weighting = Weighting::new(gpu, "ketformer.d_log_psi", estimator.samples, estimator.phase.is_some())?;
    estimator.record_own_spans(plan)?;
    plan.scope("energy");
    let weights = EnergyWeights {
        values: estimator.values.view(),
        unique_of: estimator.groups.unique_of.view(),
        sample_of: spans.sample_of.view(),
        count: spans.count.view(),
        statistics: estimator.statistics.view(),
        d_log_psi: weighting.whole(),
        phase_at: weighting.phase_at(),
    };
    weights.record(plan, estimator.samples, estimator.groups.part, spans.part)?;
    for span in 0..spans.parts() {
        let samples = spans.samples_of(span);
        let tokens = spans.of_part(&estimator.tokens, span, estimator.patches())?;
        let sample_of = spans.of_part(&spans.sample_of, span, 1)?;
        for first in (0..samples).step_by(chunk as usize) {
            let window = spans.window(&estimator.live, span, first, chunk.min(samples - first))?;
            plan.scope("forward");
            let kept = pass.forward(plan, &window, &tokens, &sample_of)?;
            plan.scope("backward");
            let first_sample = span * spans.part + first;
            let into = GradientInto::Sum { keep: first_sample > 0 };
            pass.backward(plan, &window, kept, &weighting.from(first_sample)?, into)?;
        }
    }
    Ok(())
}
