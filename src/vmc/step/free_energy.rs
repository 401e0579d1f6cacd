//! Values of the samples with local free energies, from which the weights of the gradient follow at a temperature above
//! zero.

use super::local_energy::LocalEnergyPipeline;
use crate::error::Result;
use crate::gpu::{Buffer, Plan};
use crate::kernels::vmc::energy::{COLUMNS, Statistics};
use crate::kernels::vmc::free_energy::FreeEnergy;

/// Local free energies of a batch and their mean.
pub(crate) struct FreeEnergyValues {
    /// (B, [`COLUMNS`]), deduplicated samples first in each group
    pub values: Buffer,
    /// ([`COLUMNS`], 2)
    pub statistics: Buffer,
}

impl FreeEnergyValues {
    /// Creates the buffers.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::buffer`].
    pub(crate) fn new(pipeline: &LocalEnergyPipeline) -> Result<Self> {
        let padded = u64::from(pipeline.groups.parts()) * u64::from(pipeline.groups.part);
        let buffer =
            |name: &str, elements: u64| pipeline.gpu.buffer(&format!("ketformer.free_energy.{name}"), elements);
        Ok(Self {
            values: buffer("values", padded * u64::from(COLUMNS))?,
            statistics: buffer("statistics", 2 * u64::from(COLUMNS))?,
        })
    }

    /// Records the local free energies, after the local energies, and their statistics.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan, pipeline: &LocalEnergyPipeline) -> Result<()> {
        let free = FreeEnergy {
            values: pipeline.values.view(),
            sample_of: pipeline.groups.sample_of.view(),
            log_p: pipeline.log_p.view(),
            step: pipeline.step.view(),
            free: self.values.view(),
        };
        free.record(plan, pipeline.samples, pipeline.groups.part, pipeline.columns)?;
        let statistics = Statistics {
            values: self.values.view(),
            dedup_of: pipeline.groups.dedup_of.view(),
            statistics: self.statistics.view(),
        };
        statistics.record(plan, pipeline.samples, pipeline.groups.part)
    }
}
