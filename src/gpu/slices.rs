//! Replay of plans in slices of a given time, into encoders of the caller and without waiting.
//!
//! Slices change neither the launches nor their order, so results have the same bits. Their times are timestamps of the
//! GPU where it has them, and otherwise those between encoding and the end of the submission, which include other work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use web_time::Instant;

use super::mapping::Mapping;
use super::pieces::{FIRST_RATE, weight};
use super::{Buffer, Gpu, Plan};
use crate::error::Result;

/// Launch of a plan that a replay in slices has reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    launch: usize,
    repetition: u32,
}

impl Plan {
    /// Whether `position` is behind the last launch.
    pub(crate) fn is_end(&self, position: Position) -> bool {
        position.launch >= self.dispatches.len()
    }

    /// The launch after `position`.
    fn after(&self, Position { launch, repetition }: Position) -> Position {
        match self.repeats.iter().find(|repeat| repeat.end == launch + 1) {
            Some(repeat) if repetition + 1 < repeat.times => {
                Position { launch: repeat.first, repetition: repetition + 1 }
            }
            Some(_) => Position { launch: launch + 1, repetition: 0 },
            None => Position { launch: launch + 1, repetition },
        }
    }
}

/// Maximum number of slices whose time is measured at once; the time of others is not measured.
const CLOCKS: usize = 8;
/// Maximum factor by which a measurement changes the assumed time of a launch.
const CORRECTION: f64 = 8.0;

/// A measured slice in flight.
struct Measured {
    /// First launch, and launch behind the last one.
    launches: (usize, usize),
    /// Assumed seconds.
    assumed: f64,
    weight: f64,
}

/// Clock of a slice.
struct SliceClock {
    /// Begin and end of a pass, their resolved ticks, and those on the host.
    queries: Option<(wgpu::QuerySet, Buffer, Buffer)>,
    mapping: Arc<Mapping>,
    /// Nanoseconds from the clock's start to encoding and, once the submission has ended, to its end.
    times: Arc<[AtomicU64; 2]>,
    measured: Option<Measured>,
}

impl SliceClock {
    fn new(gpu: &Gpu) -> Result<Self> {
        let queries = match gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            true => {
                let set = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("ketformer.slice"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2,
                });
                let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
                let resolved = gpu.buffer_of_usage("ketformer.slice.ticks", 4, usage)?;
                Some((set, resolved, gpu.buffer_to_host("ketformer.slice.ticks.host", 4)?))
            }
            false => None,
        };
        Ok(Self { queries, mapping: Arc::default(), times: Arc::default(), measured: None })
    }

    /// Requests the time of the slice that `encoder` has, when it is submitted.
    fn stop(&self, encoder: &mut wgpu::CommandEncoder, start: Instant) {
        if let Some((set, resolved, host)) = &self.queries {
            encoder.resolve_query_set(set, 0..2, resolved.wgpu(), 0);
            encoder.copy_buffer_to_buffer(resolved.wgpu(), 0, host.wgpu(), 0, 16);
            self.mapping.ask_on_submit(encoder, host, wgpu::MapMode::Read);
            return;
        }
        let nanoseconds = move || start.elapsed().as_nanos() as u64;
        self.times[0].store(nanoseconds(), Ordering::Relaxed);
        self.times[1].store(0, Ordering::Relaxed);
        let times = self.times.clone();
        encoder.on_submitted_work_done(move || times[1].store(nanoseconds().max(1), Ordering::Release));
    }

    /// Time of the slice, if it is known by now; zero if it could not be measured.
    fn time(&self, period: f64) -> Option<Duration> {
        let Some((_, _, host)) = &self.queries else {
            let end = self.times[1].load(Ordering::Acquire);
            return (end > 0).then(|| Duration::from_nanos(end.saturating_sub(self.times[0].load(Ordering::Relaxed))));
        };
        if !self.mapping.outcome()? {
            return Some(Duration::ZERO);
        }
        let ticks = host.wgpu().get_mapped_range(..).ok().map(|mapped| {
            let ticks: &[u64] = bytemuck::cast_slice(&mapped);
            ticks[1].saturating_sub(ticks[0])
        });
        host.wgpu().unmap();
        Some(Duration::from_nanos((ticks.unwrap_or(0) as f64 * period) as u64))
    }
}

/// Encodes a plan in slices, and learns how long its launches take.
pub(crate) struct Slices {
    /// Weight per second of launches that were not measured.
    rate: f64,
    /// Measured seconds of each launch of the plan; none before it was part of a measured slice.
    seconds: Vec<Option<f64>>,
    clocks: Vec<SliceClock>,
    start: Instant,
    /// Nanoseconds per tick of a timestamp.
    period: f64,
}

impl Slices {
    /// Creates the clocks for slices of `plan`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let gpu = plan.gpu();
        let clocks = (0..CLOCKS).map(|_| SliceClock::new(gpu)).collect::<Result<_>>()?;
        let period = f64::from(gpu.queue().get_timestamp_period());
        Ok(Self { rate: FIRST_RATE, seconds: vec![None; plan.len()], clocks, start: Instant::now(), period })
    }

    /// Assumed seconds of a launch.
    fn assumed(&self, plan: &Plan, launch: usize) -> f64 {
        self.seconds[launch].unwrap_or_else(|| weight(&plan.dispatches[launch]) / self.rate)
    }

    /// Takes the times of finished slices into account.
    pub(crate) fn collect(&mut self, plan: &Plan) {
        for at in 0..self.clocks.len() {
            if self.clocks[at].measured.is_none() {
                continue;
            }
            let Some(time) = self.clocks[at].time(self.period) else { continue };
            let Some(measured) = self.clocks[at].measured.take().filter(|_| !time.is_zero()) else { continue };
            let seconds = time.as_secs_f64();
            let factor = (seconds / measured.assumed).clamp(1.0 / CORRECTION, CORRECTION);
            let (first, end) = measured.launches;
            for launch in first..end {
                self.seconds[launch] = Some(match self.seconds[launch] {
                    // Halfway, because a single time is noisy.
                    Some(known) => known * factor.sqrt(),
                    None => self.assumed(plan, launch) * factor,
                });
            }
            self.rate = (measured.weight / seconds).clamp(self.rate / CORRECTION, self.rate * CORRECTION);
        }
    }

    /// Encodes launches of `plan` from `position` on, at least one and then as many as fit into `seconds`. Advances the
    /// position and returns the seconds that the launches are assumed to take.
    pub(crate) fn encode(
        &mut self,
        plan: &Plan,
        encoder: &mut wgpu::CommandEncoder,
        position: &mut Position,
        seconds: f64,
    ) -> f64 {
        let clock = self.clocks.iter().position(|clock| clock.measured.is_none());
        let timestamp_writes =
            clock.and_then(|at| self.clocks[at].queries.as_ref()).map(|(set, ..)| wgpu::ComputePassTimestampWrites {
                query_set: set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
        let (mut assumed, mut sum) = (0.0, 0.0);
        let (mut first, mut end) = (position.launch, position.launch);
        {
            let descriptor = wgpu::ComputePassDescriptor { label: Some("ketformer.slice"), timestamp_writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            while let Some(dispatch) = plan.dispatches.get(position.launch) {
                let next = self.assumed(plan, position.launch);
                if sum > 0.0 && !dispatch.together && assumed + next > seconds {
                    break;
                }
                plan.encode(&mut pass, dispatch);
                assumed += next;
                sum += weight(dispatch);
                (first, end) = (first.min(position.launch), end.max(position.launch + 1));
                *position = plan.after(*position);
            }
        }
        if let Some(at) = clock {
            self.clocks[at].measured = Some(Measured { launches: (first, end), assumed, weight: sum });
            self.clocks[at].stop(encoder, self.start);
        }
        assumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::gpu::{Cost, Groups, Kernel, Launch, View, bind};

    /// Appends a digit to a number, so that the number is the order of the launches.
    static APPEND: Kernel = Kernel {
        name: "append",
        source: "struct Params { digit: u32 }
            @group(0) @binding(0) var<uniform> params: Params;
            @group(0) @binding(1) var<storage, read_write> number: array<u32>;
            @compute @workgroup_size(1) fn main() { number[0] = 10u * number[0] + params.digit; }",
        shared: &[],
    };

    fn append(plan: &mut Plan, number: &View, digit: u32) -> Result<()> {
        plan.launch(&Launch {
            kernel: &APPEND,
            spec: &[],
            bindings: &bind!(number = number[1]),
            params: &[("digit", digit.into())],
            groups: Groups::Fixed(1),
            cost: Cost::default(),
            shape: String::new(),
        })
    }

    /// Plan of launches 1, three times 2 and 3, and 4.
    fn recorded(gpu: &Gpu, number: &View) -> Plan {
        let mut plan = Plan::new(gpu);
        append(&mut plan, number, 1).unwrap();
        plan.repeat(3, |plan| append(plan, number, 2).and_then(|()| append(plan, number, 3))).unwrap();
        append(&mut plan, number, 4).unwrap();
        plan
    }

    fn gpu() -> Gpu {
        Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
    }

    #[test]
    fn slices_run_every_launch_once_in_order() {
        let gpu = gpu();
        let number = gpu.buffer("number", 1).unwrap();
        let plan = recorded(&gpu, &number);
        let mut slices = Slices::new(&plan).unwrap();
        let (mut position, mut encoded) = (Position::default(), 0);
        while !plan.is_end(position) {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            assert!(slices.encode(&plan, &mut encoder, &mut position, 0.0) > 0.0);
            gpu.queue().submit([encoder.finish()]);
            encoded += 1;
            gpu.wait(None).unwrap();
            slices.collect(&plan);
        }
        // No launch fits into no time, and at least one is encoded.
        assert_eq!((number.read::<u32>(&gpu, 1).unwrap(), encoded), (vec![12_323_234], 8));
        let measured = |seconds: &Option<f64>| seconds.is_some_and(|seconds| seconds > 0.0);
        assert!(slices.seconds.iter().all(measured), "{:?}", slices.seconds);
    }

    #[test]
    fn a_slice_has_the_launches_that_fit() {
        let gpu = gpu();
        let number = gpu.buffer("number", 1).unwrap();
        let plan = recorded(&gpu, &number);
        let mut slices = Slices::new(&plan).unwrap();
        slices.seconds = vec![Some(1e-3); plan.len()];
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut position = Position::default();
        let assumed = slices.encode(&plan, &mut encoder, &mut position, 3.5e-3);
        assert!((assumed - 3e-3).abs() < 1e-12, "{assumed}");
        gpu.queue().submit([encoder.finish()]);
        assert_eq!(number.read::<u32>(&gpu, 1).unwrap(), [123]);
        assert_eq!(position, Position { launch: 1, repetition: 1 });
    }
}
