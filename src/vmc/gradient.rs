//! From local energies to the gradient of all parameters: steps 5 and 6 of the journey.
//!
//! The gradient is taken over the distinct samples of spans, which are the same however much memory there is, and chunks of
//! a span are whole blocks of the sums over rows. So every sum has the same terms in the same order under any budget.

use super::autoregressive::ForcedPass;
use super::chains::UnnormalisedPass;
use super::estimator::Estimator;
use super::sector::head_shape;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, View};
use crate::kernels::energy::EnergyWeights;
use crate::kernels::rows::Window;
use crate::model::{Model, WaveFunction};
use crate::physics::Patching;

/// log P of a window of samples, log ψ² where it is not normalised, and the gradient of a weighted sum of them.
pub(super) trait GradientPass {
    /// Records log P of the window's samples, `tokens` (B, T) and `sample_of` (B), and keeps what the gradient needs.
    /// Returns what [`GradientPass::backward`] begins from.
    fn forward(&self, plan: &mut Plan, window: &Window, tokens: &View, sample_of: &View) -> Result<View>;

    /// Records the gradient of Σ_b d_log_p[b] log P(σ_b) from what the pass before `kept`, with the element of `d_log_p`
    /// that belongs to the window's first sample. `keep` adds to the gradient buffer, else it is replaced.
    fn backward(&self, plan: &mut Plan, window: &Window, kept: View, d_log_p: (&View, u32), keep: bool) -> Result<()>;

    /// What adds up to log P of each sample: (samples, columns).
    fn log_p(&self) -> View;
}

/// The pass of a wave function over at most `samples` samples.
pub(super) fn gradient_pass<'a>(
    gpu: &Gpu,
    model: &dyn Model,
    wave_function: &'a WaveFunction,
    patching: &Patching,
    samples: u32,
) -> Result<Box<dyn GradientPass + 'a>> {
    Ok(match wave_function {
        WaveFunction::Autoregressive(network) => {
            Box::new(ForcedPass::new(gpu, &**network, head_shape(model, patching), samples)?)
        }
        WaveFunction::Unnormalised(network) => Box::new(UnnormalisedPass::new(gpu, &**network, samples)?),
    })
}

/// Records the weights of the distinct samples, the pass over them and its gradient, chunk by chunk.
///
/// # Errors
/// As [`Plan::launch`] and [`crate::gpu::Gpu::buffer`].
pub(super) fn record_gradient(plan: &mut Plan, estimator: &Estimator) -> Result<()> {
    let spans = estimator.spans();
    let (gpu, chunk) = (&estimator.gpu, estimator.sizes.training);
    let pass = estimator.sampler.gradient_pass(gpu, chunk)?;
    // (B), distinct samples first in each span
    let d_log_p = gpu.buffer("ketformer.d_log_p", u64::from(estimator.samples))?;
    if spans.part != estimator.groups.part {
        plan.scope("sample");
        (0..spans.parts()).try_for_each(|span| estimator.record_distinct(plan, spans, span))?;
    }
    plan.scope("energy");
    let weights = EnergyWeights {
        values: estimator.values.view(),
        unique_of: estimator.groups.unique_of.view(),
        sample_of: spans.sample_of.view(),
        count: spans.count.view(),
        statistics: estimator.statistics.view(),
        d_log_p: d_log_p.view(),
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
            pass.backward(plan, &window, kept, (&d_log_p, first_sample), first_sample > 0)?;
        }
    }
    Ok(())
}
