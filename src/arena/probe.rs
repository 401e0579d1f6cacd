//! Limits of an adapter without blocking: multiply-adds in registers, and a copy.

use super::limits::Limits;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Stopwatch};
use crate::kernels::device::probe::{ChainShape, ProbeCopy, ProbeMultiplyAdd};

/// Time of a probe in milliseconds: long enough for any clock, short enough for any watchdog.
const WANTED_MS: f64 = 20.0;
/// Steps of the first measurement of a probe.
pub(crate) const FIRST_STEPS: u32 = 16;
/// Some drivers end an invocation after 65,535 loop iterations, including those of inner loops.
const MOST_STEPS: u32 = 2048;

/// Steps that fill the time of a probe, of which [`FIRST_STEPS`] took `ms` milliseconds.
pub(crate) fn calibrated_steps(ms: f64) -> u32 {
    ((f64::from(FIRST_STEPS) * WANTED_MS / ms) as u32).clamp(FIRST_STEPS, MOST_STEPS)
}

/// Number of invocations that fill the adapter.
pub(crate) fn probe_lanes(gpu: &Gpu) -> u32 {
    if gpu.is_software() { 1 << 13 } else { 1 << 20 }
}

/// Times of each probe, of which the shortest counts: another program may use the adapter.
const RUNS: usize = 3;
/// Bytes that are copied.
const COPIED: u64 = 64 << 20;

impl Limits {
    /// Measures the arithmetic and the bandwidth of an adapter. Launches and submissions are not measured.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn measure_async(gpu: &Gpu) -> Result<Self> {
        let mut stopwatch = Stopwatch::new(gpu)?;
        let lanes = probe_lanes(gpu);
        let y = gpu.buffer("probe.y", lanes.into())?;
        let mut limits = Self::default();
        for chains in [2, 4, 8] {
            let shape = |steps| ChainShape { lanes, steps, chains };
            let plan = |steps| {
                let mut plan = Plan::new(gpu);
                ProbeMultiplyAdd { y: y.view() }.record(&mut plan, &shape(steps)).map(|()| plan)
            };
            let ms = shortest(&mut stopwatch, &plan(FIRST_STEPS)?).await?;
            let steps = calibrated_steps(ms);
            let ms = shortest(&mut stopwatch, &plan(steps)?).await?;
            limits.gflops = limits.gflops.max(shape(steps).cost().flops / ms / 1e6);
        }
        let largest = gpu.limits().max_storage_buffer_binding_size.min(gpu.limits().max_buffer_size);
        let vectors = (COPIED.min(largest) / 16) as u32;
        let [x, y] = [gpu.buffer("probe.x", 4 * u64::from(vectors))?, gpu.buffer("probe.y", 4 * u64::from(vectors))?];
        let mut plan = Plan::new(gpu);
        ProbeCopy { x: x.view(), y: y.view() }.record(&mut plan, vectors)?;
        limits.gbytes_per_s = plan.cost().bytes / shortest(&mut stopwatch, &plan).await? / 1e6;
        Ok(limits)
    }
}

/// The shortest of a few times, after one that is not counted.
async fn shortest(stopwatch: &mut Stopwatch, plan: &Plan) -> Result<f64> {
    stopwatch.time(&[plan]).await?;
    let mut ms = f64::INFINITY;
    for _ in 0..RUNS {
        ms = ms.min(stopwatch.time(&[plan]).await?);
    }
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_measured_without_blocking() {
        let gpu = Gpu::new().unwrap();
        let limits = gpu.block_on(Limits::measure_async(&gpu)).unwrap();
        assert!(limits.gflops > 0.0 && limits.gbytes_per_s > 0.0, "{limits:?}");
    }
}
