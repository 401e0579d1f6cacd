//! Energy gradient of all parameters from local energies: steps 5 and 6 of the journey in ARCHITECTURE.md.
//!
//! The gradient is computed over the deduplicated samples of spans, which do not depend on the memory. Chunks of a span
//! consist of whole blocks of the sums over rows. Every sum therefore has the same terms in the same order for any
//! memory budget.

use super::free_energy::FreeEnergyValues;
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
    /// At a temperature above zero.
    free: Option<FreeEnergyValues>,
}

impl<'a> EnergyGradient<'a> {
    /// Creates the buffers of the gradient of the energy, or with `has_temperature` of the free energy at the temperature
    /// of each step.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::buffer`].
    pub(crate) fn new(pipeline: &'a LocalEnergyPipeline, has_temperature: bool) -> Result<Self> {
        let (samples, complex) = (pipeline.samples, pipeline.phase.is_some());
        Ok(Self {
            pass: pipeline.sampler.gradient_pass(pipeline)?,
            weights: LogPsiCotangent::new(&pipeline.gpu, "ketformer.d_log_psi", samples, complex)?,
            free: has_temperature.then(|| FreeEnergyValues::new(pipeline)).transpose()?,
            pipeline,
        })
    }

    /// Records the weights of the deduplicated samples, the forward pass over them and its gradient, in chunks.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan) -> Result<()> {
        let Self { pipeline, pass, weights, free } = self;
        let (spans, chunk) = (pipeline.spans(), pipeline.sizes.training);
        pipeline.record_own_spans(plan)?;
        plan.scope("energy");
        let (values, statistics) = match free {
            Some(free) => {
                free.record(plan, pipeline)?;
                (free.values.view(), free.statistics.view())
            }
            None => (pipeline.values.view(), pipeline.statistics.view()),
        };
        let of_energy = EnergyGradientWeights {
            values,
            dedup_of: pipeline.groups.dedup_of.view(),
            sample_of: spans.sample_of.view(),
            count: spans.count.view(),
            statistics,
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
