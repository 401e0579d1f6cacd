//! Stopwatch for passes of plans, without blocking: timestamps of the device, or the clock of the host.

use web_time::Instant;

use super::Plan;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu};

/// Clock of a measured time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The GPU's timestamps around each launch.
    Timestamp,
    /// The host's clock around the submission of, and the wait for, each launch.
    Host,
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timestamp => "timestamp",
            Self::Host => "host",
        })
    }
}

struct Timestamps {
    set: wgpu::QuerySet,
    resolved: Buffer,
    /// Milliseconds of a tick.
    period: f64,
}

/// Stopwatch of a device.
pub(crate) struct Stopwatch {
    gpu: Gpu,
    timestamps: Option<Timestamps>,
}

impl Stopwatch {
    /// A stopwatch that uses timestamps if the device has them.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu) -> Result<Self> {
        let has_timestamps = gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let timestamps = || {
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            Ok(Timestamps {
                set: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("ketformer.stopwatch"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2,
                }),
                resolved: gpu.buffer_of_usage("ketformer.stopwatch", 4, usage)?,
                period: f64::from(gpu.queue().get_timestamp_period()) * 1e-6,
            })
        };
        Ok(Self { gpu: gpu.clone(), timestamps: has_timestamps.then(timestamps).transpose()? })
    }

    /// Its clock.
    pub(crate) fn clock(&self) -> Clock {
        if self.timestamps.is_some() { Clock::Timestamp } else { Clock::Host }
    }

    /// Replays `plans` in one pass and returns its milliseconds. If timestamps do not advance, the clock is that of the
    /// host from then on.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub(crate) async fn time(&mut self, plans: &[&Plan]) -> Result<f64> {
        if let Some(timestamps) = &self.timestamps {
            let ms = self.ticks(timestamps, plans).await? * timestamps.period;
            if ms > 0.0 {
                return Ok(ms);
            }
            self.timestamps = None;
        }
        self.gpu.finished().await?;
        let start = Instant::now();
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        replay(&mut encoder, plans, None);
        self.gpu.queue().submit([encoder.finish()]);
        self.gpu.finished().await?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    async fn ticks(&self, timestamps: &Timestamps, plans: &[&Plan]) -> Result<f64> {
        let Timestamps { set, resolved, .. } = timestamps;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let writes = wgpu::ComputePassTimestampWrites {
            query_set: set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        };
        replay(&mut encoder, plans, Some(writes));
        encoder.resolve_query_set(set, 0..2, resolved.wgpu(), 0);
        self.gpu.queue().submit([encoder.finish()]);
        let ticks: Vec<u64> = resolved.read_async(&self.gpu, 2).await?;
        Ok(ticks[1].saturating_sub(ticks[0]) as f64)
    }
}

fn replay(
    encoder: &mut wgpu::CommandEncoder,
    plans: &[&Plan],
    timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
) {
    let descriptor = wgpu::ComputePassDescriptor { label: Some("ketformer.stopwatch"), timestamp_writes };
    let mut pass = encoder.begin_compute_pass(&descriptor);
    plans.iter().for_each(|plan| plan.replay(&mut pass));
}
