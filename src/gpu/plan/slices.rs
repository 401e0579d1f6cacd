//! Replay of plans in slices of a given time, into encoders of the caller and without waiting.
//!
//! Slices change neither the launches nor their order, so results have the same bits. Their times are timestamps of the
//! GPU where it has them, and otherwise those between encoding and the end of the submission, which include other work.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use web_time::Instant;

use super::pieces::{FIRST_RATE, weight};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Staging};

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
    /// Key of the plan.
    plan: usize,
    /// First launch, and launch behind the last one.
    launches: (usize, usize),
    /// Assumed seconds.
    assumed: f64,
    weight: f64,
}

/// Clock of a slice.
struct SliceClock {
    /// Begin and end of a pass, their resolved ticks, and those on the host.
    queries: Option<(wgpu::QuerySet, Buffer, Staging)>,
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
                Some((set, resolved, Staging::to_host(gpu, "ketformer.slice.ticks.host", 4)?))
            }
            false => None,
        };
        Ok(Self { queries, times: Arc::default(), measured: None })
    }

    /// Requests the time of the slice that `encoder` has, when it is submitted.
    fn stop(&self, encoder: &mut wgpu::CommandEncoder, start: Instant) {
        if let Some((set, resolved, host)) = &self.queries {
            encoder.resolve_query_set(set, 0..2, resolved.wgpu(), 0);
            host.copy_from(encoder, resolved, 0, (0, 4));
            host.map_on_submit(encoder);
            return;
        }
        let nanoseconds = move || start.elapsed().as_nanos() as u64;
        self.times[0].store(nanoseconds(), Ordering::Relaxed);
        self.times[1].store(0, Ordering::Relaxed);
        let times = self.times.clone();
        encoder.on_submitted_work_done(move || times[1].store(nanoseconds().max(1), Ordering::Release));
    }

    /// Time of the slice, if it is known by now: `None` within if it could not be measured, zero if it is shorter than a
    /// tick, which in browsers is 100 µs.
    fn time(&self, gpu: &Gpu) -> Option<Option<Duration>> {
        let Some((_, _, host)) = &self.queries else {
            let end = self.times[1].load(Ordering::Acquire);
            let begin = self.times[0].load(Ordering::Relaxed);
            return (end > 0).then(|| Some(Duration::from_nanos(end.saturating_sub(begin))));
        };
        if !host.is_settled() {
            return None;
        }
        let ticks = host.read(gpu, |words| {
            let ticks = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
            ticks(2).saturating_sub(ticks(0))
        });
        let period = f64::from(gpu.queue().get_timestamp_period());
        Some(ticks.ok().map(|ticks| Duration::from_nanos((ticks as f64 * period) as u64)))
    }
}

/// Time of a launch.
struct LaunchTime {
    weight: f64,
    /// Measured seconds; none before the launch was part of a measured slice.
    seconds: Option<f64>,
}

impl LaunchTime {
    /// Assumed seconds with `rate`, the weight per second of launches that were not measured.
    fn assumed(&self, rate: f64) -> f64 {
        self.seconds.unwrap_or(self.weight / rate)
    }
}

/// Clocks of slices, and what they have measured: how long the launches of plans take.
pub(crate) struct Slices {
    gpu: Gpu,
    /// Weight per second of launches that were not measured.
    rate: f64,
    /// Times of the launches of each plan by its key.
    times: HashMap<usize, Vec<LaunchTime>>,
    clocks: Vec<SliceClock>,
    start: Instant,
}

impl Slices {
    /// Creates the clocks.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu) -> Result<Self> {
        let clocks = (0..CLOCKS).map(|_| SliceClock::new(gpu)).collect::<Result<_>>()?;
        Ok(Self { gpu: gpu.clone(), rate: FIRST_RATE, times: HashMap::new(), clocks, start: Instant::now() })
    }

    /// Takes the times of finished slices into account.
    fn collect(&mut self) {
        for clock in &mut self.clocks {
            if clock.measured.is_none() {
                continue;
            }
            let Some(time) = clock.time(&self.gpu) else { continue };
            let Some((measured, time)) = clock.measured.take().zip(time) else { continue };
            let factor = (time.as_secs_f64() / measured.assumed).clamp(1.0 / CORRECTION, CORRECTION);
            let seconds = measured.assumed * factor;
            let (first, end) = measured.launches;
            let times = self.times.get_mut(&measured.plan).and_then(|times| times.get_mut(first..end));
            for launch in times.into_iter().flatten() {
                launch.seconds = Some(match launch.seconds {
                    // Halfway, because a single time is noisy.
                    Some(known) => known * factor.sqrt(),
                    None => launch.assumed(self.rate) * factor,
                });
            }
            self.rate = (measured.weight / seconds).clamp(self.rate / CORRECTION, self.rate * CORRECTION);
        }
    }

    /// Encodes launches of `plan` from `position` on, at least one and then as many as fit into `seconds`. Advances the
    /// position and returns the seconds that the launches are assumed to take.
    fn encode(
        &mut self,
        (key, plan): (usize, &Plan),
        encoder: &mut wgpu::CommandEncoder,
        position: &mut Position,
        seconds: f64,
    ) -> f64 {
        self.collect();
        let times = self.times.entry(key).or_default();
        if times.len() != plan.len() {
            let unknown = |dispatch| LaunchTime { weight: weight(dispatch), seconds: None };
            *times = plan.dispatches.iter().map(unknown).collect();
        }
        let clock = self.clocks.iter_mut().find(|clock| clock.measured.is_none());
        let timestamp_writes =
            clock.as_ref().and_then(|clock| clock.queries.as_ref()).map(|(set, ..)| wgpu::ComputePassTimestampWrites {
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
                let time = &times[position.launch];
                let next = time.assumed(self.rate);
                if sum > 0.0 && !dispatch.together && assumed + next > seconds {
                    break;
                }
                plan.encode(&mut pass, dispatch);
                assumed += next;
                sum += time.weight;
                (first, end) = (first.min(position.launch), end.max(position.launch + 1));
                *position = plan.after(*position);
            }
        }
        if let Some(clock) = clock {
            clock.measured = Some(Measured { plan: key, launches: (first, end), assumed, weight: sum });
            clock.stop(encoder, self.start);
        }
        assumed
    }
}

/// Encoder of a frame, with the time that launches may take in it.
pub(crate) struct Frame<'a> {
    pub encoder: &'a mut wgpu::CommandEncoder,
    slices: &'a mut Slices,
    /// Seconds left.
    left: f64,
    is_recorded: bool,
}

impl<'a> Frame<'a> {
    /// Frame whose launches may take `seconds`.
    pub(crate) fn new(encoder: &'a mut wgpu::CommandEncoder, slices: &'a mut Slices, seconds: f64) -> Self {
        Self { encoder, slices, left: seconds, is_recorded: false }
    }

    /// Whether another slice may be encoded: the first one, and others while there is time.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_recorded || self.left > 0.0
    }

    /// Whether a slice was encoded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Encodes launches of `plan` from `position` on, at least one and then as many as there is time for. Returns
    /// whether the plan is at its end. `key` is that of its times among those of the plans of a trainer.
    pub(crate) fn encode(&mut self, key: usize, plan: &Plan, position: &mut Position) -> bool {
        if !plan.is_end(*position) {
            self.left -= self.slices.encode((key, plan), self.encoder, position, self.left);
            self.is_recorded = true;
        }
        plan.is_end(*position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::gpu::{Cost, Groups, Kernel, KernelSource, Launch, View, bind};

    /// Appends a digit to a number, so that the number is the order of the launches.
    static APPEND: Kernel = Kernel::new(KernelSource {
        name: "append",
        source: "struct Params { digit: u32 }
            @group(0) @binding(0) var<uniform> params: Params;
            @group(0) @binding(1) var<storage, read_write> number: array<u32>;
            @compute @workgroup_size(1) fn main() { number[0] = 10u * number[0] + params.digit; }",
        shared: &[],
    });

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
        let mut slices = Slices::new(&gpu).unwrap();
        let (mut position, mut encoded, mut is_end) = (Position::default(), 0, false);
        while !is_end {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut frame = Frame::new(&mut encoder, &mut slices, 0.0);
            is_end = frame.encode(7, &plan, &mut position);
            assert!(frame.is_recorded() && !frame.has_room());
            gpu.queue().submit([encoder.finish()]);
            encoded += 1;
            gpu.wait(None).unwrap();
            slices.collect();
        }
        // No launch fits into no time, and at least one is encoded.
        assert_eq!((number.read::<u32>(&gpu, 1).unwrap(), encoded), (vec![12_323_234], 8));
        assert!(slices.times[&7].iter().all(|launch| launch.seconds.is_some_and(|seconds| seconds > 0.0)));
    }

    #[test]
    fn a_slice_has_the_launches_that_fit() {
        let gpu = gpu();
        let number = gpu.buffer("number", 1).unwrap();
        let plan = recorded(&gpu, &number);
        let mut slices = Slices::new(&gpu).unwrap();
        let known = || LaunchTime { weight: 1.0, seconds: Some(1e-3) };
        slices.times.insert(0, (0..plan.len()).map(|_| known()).collect());
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut position = Position::default();
        let assumed = slices.encode((0, &plan), &mut encoder, &mut position, 3.5e-3);
        assert!((assumed - 3e-3).abs() < 1e-12, "{assumed}");
        gpu.queue().submit([encoder.finish()]);
        assert_eq!(number.read::<u32>(&gpu, 1).unwrap(), [123]);
        assert_eq!(position, Position { launch: 1, repetition: 1 });
    }
}
