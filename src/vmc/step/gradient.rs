//! Energy gradient of all parameters from local energies: steps 5 and 6 of the journey in ARCHITECTURE.md.
//!
//! The gradient is computed over the deduplicated samples of spans, which do not depend on the memory. Chunks of a span
//! consist of whole blocks of the sums over rows. Every sum therefore has the same terms in the same order for any
//! memory budget.

use super::gradient_pass::{GradientPass, LogPsiCotangent};
use super::local_energy::LocalEnergyPipeline;
use crate::error::Result;
use crate::gpu::Plan;
use crate::kernels::linear::GradientInto;
use crate::kernels::vmc::energy::EnergyGradientWeights;

/// Gradient of the energy: the pass of the wave function with the weights of the samples.
pub(crate) struct EnergyGradient<'a> {
    pipeline: &'a LocalEnergyPipeline,
    pass: Box<dyn GradientPass + 'a>,
    /// In each span, the deduplicated samples come first.
    weights: LogPsiCotangent,
}

impl<'a> EnergyGradient<'a> {
    /// Creates the buffers.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::buffer`].
    pub(crate) fn new(pipeline: &'a LocalEnergyPipeline) -> Result<Self> {
        let (samples, complex) = (pipeline.samples, pipeline.phase.is_some());
        Ok(Self {
            pass: pipeline.sampler.gradient_pass(pipeline)?,
            weights: LogPsiCotangent::new(&pipeline.gpu, "ketformer.d_log_psi", samples, complex)?,
            pipeline,
        })
    }

    /// Records the weights of the deduplicated samples, the forward pass over them and its gradient, in chunks.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan) -> Result<()> {
        let Self { pipeline, pass, weights } = self;
        let (spans, chunk) = (pipeline.spans(), pipeline.sizes.training);
        pipeline.record_own_spans(plan)?;
        plan.scope("energy");
        let of_energy = EnergyGradientWeights {
            values: pipeline.values.view(),
            dedup_of: pipeline.groups.dedup_of.view(),
            sample_of: spans.sample_of.view(),
            count: spans.count.view(),
            statistics: pipeline.statistics.view(),
            d_log_psi: weights.whole(),
            phase_at: weights.phase_at(),
        };
        of_energy.record(plan, pipeline.samples, pipeline.groups.part, spans.part)?;
        for span in 0..spans.parts() {
            let samples = spans.samples_of(span);
            let tokens = spans.of_part(&pipeline.tokens, span, pipeline.patches())?;
            let sample_of = spans.of_part(&spans.sample_of, span, 1)?;
            for first in (0..samples).step_by(chunk as usize) {
                let window = spans.window(&pipeline.live, span, first, chunk.min(samples - first))?;
                plan.scope("forward");
                let kept = pass.forward(plan, &window, &tokens, &sample_of)?;
                plan.scope("backward");
                let first_sample = span * spans.part + first;
                let into = GradientInto::Sum { keep: first_sample > 0 };
                pass.backward(plan, &window, kept, &weights.from(first_sample)?, into)?;
            }
        }
        Ok(())
    }
}
