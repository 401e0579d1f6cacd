//! Gradient pass of a wave function: log ψ of a window of samples, and the gradient of a weighted sum of its parts.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::vmc::rows::Window;
use crate::model::{LogPsi, LogPsiGradient, Outcomes};

/// Pass that computes log ψ of a window of samples, and the gradient of a weighted sum of its parts.
pub(crate) trait GradientPass {
    /// Records log ψ of the window's samples from `tokens` (B, T) and `sample_of` (B), and saves the activations that
    /// the gradient needs. Returns the outcomes for [`GradientPass::backward`].
    fn forward(&self, plan: &mut Plan, window: &Window, tokens: &View, sample_of: &View) -> Result<Outcomes>;

    /// Records the gradient of Σ_b d_log_p[b] log P(σ_b) + d_phase[b] phase(σ_b). `kept` are the outcomes of the
    /// preceding [`GradientPass::forward`].
    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        kept: Outcomes,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()>;

    /// Returns the terms of log ψ of each sample.
    fn log_psi(&self) -> LogPsi;
}

/// Buffers of log ψ of a gradient pass.
pub(crate) struct LogPsiBuffers {
    log_p: Buffer,
    phase: Option<Buffer>,
}

impl LogPsiBuffers {
    pub(crate) fn new(gpu: &Gpu, elements: u64, complex: bool) -> Result<Self> {
        let buffer = |name: &str| gpu.buffer(&format!("ketformer.training.{name}"), elements);
        Ok(Self { log_p: buffer("log_p")?, phase: complex.then(|| buffer("phase")).transpose()? })
    }

    pub(crate) fn views(&self) -> LogPsi {
        LogPsi { log_p: self.log_p.view(), phase: self.phase.as_ref().map(|phase| phase.view()) }
    }
}

/// Cotangent of log ψ: for each sample of a batch, a weight of log P and, if the wave function is complex, a weight of
/// the phase. One buffer of two parts.
pub(crate) struct LogPsiCotangent {
    buffer: Buffer,
    samples: u64,
    phase_at: Option<u64>,
}

impl LogPsiCotangent {
    pub(crate) fn new(gpu: &Gpu, name: &str, samples: u32, complex: bool) -> Result<Self> {
        let samples = u64::from(samples);
        // Views are aligned to 64 elements.
        let phase_at = complex.then_some(samples.next_multiple_of(64));
        let buffer = gpu.buffer(name, phase_at.unwrap_or(0) + samples)?;
        Ok(Self { buffer, samples, phase_at })
    }

    /// Returns both parts.
    pub(crate) fn whole(&self) -> View {
        self.buffer.view()
    }

    /// First element of the weights of phases.
    pub(crate) fn phase_at(&self) -> Option<u32> {
        self.phase_at.map(|at| at as u32)
    }

    /// Writes the weights of all samples. `phase_weights` is ignored if the wave function is real.
    pub(crate) fn write(&self, gpu: &Gpu, weights: &[f32], phase_weights: &[f32]) -> Result<()> {
        let parts = self.parts(weights, phase_weights)?;
        parts.into_iter().try_for_each(|(view, weights)| view.write(gpu, weights))
    }

    /// Returns both parts with the weights of all samples. `phase_weights` is left out if the wave function is real.
    pub(crate) fn parts<T>(&self, weights: T, phase_weights: T) -> Result<Vec<(View, T)>> {
        let LogPsiGradient { d_log_p, d_phase, .. } = self.from(0)?;
        Ok([(d_log_p, weights)].into_iter().chain(d_phase.map(|d_phase| (d_phase, phase_weights))).collect())
    }

    /// Returns the weights of all samples, with `first` as the element of the first sample of a pass.
    pub(crate) fn from(&self, first: u32) -> Result<LogPsiGradient> {
        let part = |at: u64| self.buffer.range(self.buffer.label(), at, self.samples);
        Ok(LogPsiGradient { d_log_p: part(0)?, d_phase: self.phase_at.map(part).transpose()?, first })
    }
}
