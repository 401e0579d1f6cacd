//! Timing of plans, per launch and in total.

use std::time::Instant;

use super::{Clock, Cost, Plan, Stopwatch};
use crate::error::{Error, ErrorKind, Result};

/// Number of replays for timing a plan.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Replays before the first measured one.
    pub warmup: u32,
    /// Measured replays; each row reports their median.
    pub runs: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self { warmup: 2, runs: 10 }
    }
}

/// Times of whole replays of a plan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timing {
    /// Milliseconds of each measured replay, ascending; never empty.
    pub milliseconds: Vec<f64>,
    /// The clock of the times.
    pub clock: Clock,
}

impl Timing {
    /// Creates a timing from unsorted times of `clock`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there are no times.
    pub fn new(mut milliseconds: Vec<f64>, clock: Clock) -> Result<Self> {
        if milliseconds.is_empty() {
            return Err(Error::new(
                ErrorKind::Settings,
                "a time needs at least one run; give Profile::runs of 1 or more",
            ));
        }
        milliseconds.sort_by(f64::total_cmp);
        Ok(Self { milliseconds, clock })
    }

    /// Median time in milliseconds.
    pub fn median(&self) -> f64 {
        median(&mut self.milliseconds.clone())
    }

    /// The shortest time in milliseconds.
    pub fn fastest(&self) -> f64 {
        self.milliseconds.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// All launches of one kernel in one scope.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProfileRow {
    /// Part of the step, as set by [`Plan::scope`].
    pub scope: &'static str,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Number of launches in one replay.
    pub launches: usize,
    /// Total time of all launches in milliseconds, median over the replays.
    pub median_ms: f64,
    /// Arithmetic and memory traffic of all launches, with dynamic rows at capacity.
    pub cost: Cost,
    /// The clock of the time.
    pub clock: Clock,
}

impl std::fmt::Display for ProfileRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<10} {:<26} {:>5} × {:>10.3} ms  {:>8.2} GFLOP/s  {:>8.2} GB/s",
            self.scope,
            self.kernel,
            self.launches,
            self.median_ms,
            self.cost.flops / self.median_ms / 1e6,
            self.cost.bytes / self.median_ms / 1e6
        )
    }
}

/// The median; the mean of the two middle values if the count is even.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

impl Plan {
    /// Replays the plan several times and returns the time of each kernel in each scope, in order of first use.
    ///
    /// With timestamp queries, each launch is a separate pass of one submission. Without them, each launch is a
    /// separate submission, so a row includes the cost of a submission (75–130 µs on software drivers).
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for zero runs; as [`crate::gpu::Gpu::wait`].
    pub fn profile(&self, profile: Profile) -> Result<Vec<ProfileRow>> {
        if profile.runs == 0 {
            return Err(Error::new(ErrorKind::Settings, "a profile needs at least one run"));
        }
        for _ in 0..profile.warmup {
            self.run()?;
        }
        let timestamps = self.gpu().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let mut times = vec![Vec::with_capacity(profile.runs as usize); self.len()];
        for _ in 0..profile.runs {
            let run = if timestamps { self.timestamps()? } else { self.host_times()? };
            for (all, one) in times.iter_mut().zip(run) {
                all.push(one);
            }
        }
        let clock = if timestamps { Clock::Timestamp } else { Clock::Host };
        Ok(self.rows(&times, profile.runs as usize, clock))
    }

    /// Times whole replays, each a single pass in a separate submission. Uses timestamps around the pass, or the host's
    /// clock around submission and wait if timestamps are missing or do not advance.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for zero runs; as [`crate::gpu::Gpu::wait`].
    pub fn timing(&self, profile: Profile) -> Result<Timing> {
        for _ in 0..profile.warmup {
            self.run()?;
        }
        let mut stopwatch = Stopwatch::new(self.gpu())?;
        let mut times = Vec::new();
        while stopwatch.clock() == Clock::Timestamp && times.len() < profile.runs as usize {
            times.push(self.gpu().block_on(stopwatch.time(&[self]))?);
        }
        match stopwatch.clock() {
            Clock::Timestamp => Timing::new(times, Clock::Timestamp),
            Clock::Host => self.host_timing(Profile { warmup: 0, ..profile }),
        }
    }

    /// Times whole replays with the host's clock around submission and wait.
    ///
    /// # Errors
    /// As [`Plan::timing`].
    pub fn host_timing(&self, profile: Profile) -> Result<Timing> {
        for _ in 0..profile.warmup {
            self.run()?;
        }
        let time = |_| {
            let start = Instant::now();
            self.run()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        Timing::new((0..profile.runs).map(time).collect::<Result<_>>()?, Clock::Host)
    }

    fn rows(&self, times: &[Vec<f64>], runs: usize, clock: Clock) -> Vec<ProfileRow> {
        let mut rows: Vec<(ProfileRow, Vec<f64>)> = Vec::new();
        for (dispatch, times) in self.dispatches.iter().zip(times) {
            let same = |(row, _): &(ProfileRow, Vec<f64>)| row.kernel == dispatch.label && row.scope == dispatch.scope;
            let position = rows.iter().position(same).unwrap_or_else(|| {
                let (scope, kernel) = (dispatch.scope, dispatch.label);
                let cost = Cost::default();
                rows.push((ProfileRow { scope, kernel, launches: 0, median_ms: 0.0, cost, clock }, vec![0.0; runs]));
                rows.len() - 1
            });
            let (row, sums) = &mut rows[position];
            // A repeated dispatch was timed once.
            row.launches += dispatch.times as usize;
            row.cost = row.cost + dispatch.whole_cost();
            sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += f64::from(dispatch.times) * time);
        }
        let finish = |(row, mut sums): (ProfileRow, Vec<f64>)| ProfileRow { median_ms: median(&mut sums), ..row };
        rows.into_iter().map(finish).collect()
    }

    /// Milliseconds of each launch, from timestamp queries.
    fn timestamps(&self) -> Result<Vec<f64>> {
        const QUERIES: usize = 4096;
        let device = self.gpu().device();
        let period = f64::from(self.gpu().queue().get_timestamp_period()) * 1e-6;
        let mut times = Vec::with_capacity(self.len());
        for part in self.dispatches.chunks(QUERIES / 2) {
            let count = 2 * part.len() as u32;
            let set = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("ketformer.profile"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let resolved = self.gpu().buffer_of_usage("ketformer.profile", 2 * u64::from(count), usage)?;
            let mut encoder = device.create_command_encoder(&Default::default());
            for (i, dispatch) in part.iter().enumerate() {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(dispatch.label),
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &set,
                        beginning_of_pass_write_index: Some(2 * i as u32),
                        end_of_pass_write_index: Some(2 * i as u32 + 1),
                    }),
                });
                self.encode(&mut pass, dispatch);
            }
            encoder.resolve_query_set(&set, 0..count, resolved.wgpu(), 0);
            self.gpu().queue().submit([encoder.finish()]);
            let ticks: Vec<u64> = resolved.read(self.gpu(), count as usize)?;
            times.extend(ticks.chunks(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period));
        }
        Ok(times)
    }

    /// Milliseconds of each launch, from the host's clock.
    fn host_times(&self) -> Result<Vec<f64>> {
        let time = |dispatch| {
            let start = Instant::now();
            let mut encoder = self.gpu().device().create_command_encoder(&Default::default());
            self.encode(&mut encoder.begin_compute_pass(&Default::default()), dispatch);
            let submission = self.gpu().queue().submit([encoder.finish()]);
            self.gpu().wait(Some(submission))?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        self.dispatches.iter().map(time).collect()
    }
}
