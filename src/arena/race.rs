//! Race of candidates on one problem: check, repeated runs, alternating timed runs.

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::candidate::{Candidate, Inputs, OutputSet, of_others};
use super::contract::Rejection;
use super::environment::Environment;
use super::gate::{self, Passed};
use super::limits::Limits;
use super::problem::AttentionProblem;
use super::row::{BenchRow, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, DType, Gpu, Plan, Stopwatch};
use crate::kernels::device::words::FillWords;
use crate::kernels::{POISON, RandomInputs};

/// Settings of a benchmark of attention.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArenaConfig {
    /// Least number of timed runs of a candidate, at least 1.
    pub runs: u32,
    /// Untimed runs before them, at least 1; they are checked.
    pub warmup: u32,
    /// Seed of the inputs; every round draws others from it.
    pub seed: u64,
    /// Least total time of the timed runs of a candidate in milliseconds.
    pub least_ms: f64,
    /// Total time in milliseconds after which no further runs of a candidate are timed once there are three.
    pub most_ms: f64,
    /// Number of repeated runs of the same inputs whose bits are compared.
    pub repeats: u32,
    /// Bytes that are written to flush caches; 0: no cold times.
    pub flush_bytes: u64,
}

impl ArenaConfig {
    /// Default settings for an adapter.
    pub fn new(gpu: &Gpu) -> Self {
        let largest = gpu.limits().max_storage_buffer_binding_size.min(gpu.limits().max_buffer_size);
        let flush_bytes = if gpu.is_software() { SOFTWARE_FLUSH } else { FLUSH }.min(largest) / 16 * 16;
        Self { runs: 10, warmup: 2, seed: 0, least_ms: 20.0, most_ms: 20_000.0, repeats: 10, flush_bytes }
    }
}

/// Bytes that replace what the caches of GPUs hold, the largest of which have 256 MiB.
const FLUSH: u64 = 512 << 20;
/// The same on a CPU driver, whose caches of a core and of its neighbors have a few tens of MiB.
const SOFTWARE_FLUSH: u64 = 64 << 20;
/// Largest number of cold times of a candidate, which cost a flush each.
const COLD: usize = 5;
/// Target time of a timed pass in milliseconds, and most runs in it.
const PASS_MS: f64 = 4.0;
const MOST_SETS: u64 = 16;
/// Least number of times, whatever they cost.
const LEAST_RUNS: usize = 3;

/// Bytes of all outputs of a candidate.
fn output_budget(gpu: &Gpu) -> u64 {
    if gpu.is_software() { 64 << 20 } else { 512 << 20 }
}

/// Event of a benchmark, before what it names.
#[derive(Debug)]
pub enum Event<'a> {
    /// A candidate is about to run: until the next event the device belongs to it.
    Running {
        /// Name of the candidate.
        kernel: &'a str,
        /// The problem.
        problem: &'a AttentionProblem,
    },
    /// A row is finished.
    Row(&'a BenchRow),
}

/// A candidate that passed so far, with its times.
struct Contestant<'a> {
    candidate: &'a Candidate,
    inputs: usize,
    /// Outputs of the runs of a timed pass, and those of a cold run.
    sets: Vec<OutputSet>,
    row: BenchRow,
    passed: Passed,
    times: Vec<f64>,
    cold: Vec<f64>,
}

/// Benchmark of attention on one device.
pub struct Arena {
    gpu: Gpu,
    config: ArenaConfig,
    /// Limits of the adapter, of which rows are a share.
    pub limits: Limits,
    /// What rows say about adapter, host and versions. A page can add what only the browser tells.
    pub environment: Environment,
    random: RandomInputs,
    /// Launch that writes a buffer larger than caches.
    flush: Option<(Plan, Buffer)>,
}

impl Arena {
    /// A benchmark on `gpu`. With `limits` of 0 rows have no share of the peak.
    pub fn new(gpu: &Gpu, config: ArenaConfig, limits: Limits) -> Self {
        let random = RandomInputs::new(config.seed);
        Self { gpu: gpu.clone(), config, limits, environment: Environment::of(gpu), random, flush: None }
    }

    /// Runs all candidates on `problem` and returns a row for each, in their order. A candidate that fails has a row with
    /// its status; the others are measured.
    ///
    /// Kernels that never end make this wait: natively, run kernels of others in a process that can be stopped, as
    /// `ketformer bench attention --kernel` does.
    ///
    /// # Errors
    /// A lost device, after which no candidate can run: `event` was told which one ran last. As [`AttentionProblem::check`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(
        &mut self,
        problem: &AttentionProblem,
        candidates: &[Candidate],
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<BenchRow>> {
        let gpu = self.gpu.clone();
        gpu.block_on(self.run_async(problem, candidates, event))
    }

    /// As `Arena::run`, without blocking.
    ///
    /// # Errors
    /// As `Arena::run`.
    pub async fn run_async(
        &mut self,
        problem: &AttentionProblem,
        candidates: &[Candidate],
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<BenchRow>> {
        problem.check()?;
        if self.config.runs == 0 {
            return Err(Error::new(
                ErrorKind::Settings,
                "arena: a time needs at least one run; give ArenaConfig::runs of 1 or more",
            ));
        }
        let mut inputs: [Option<Inputs>; 2] = [None, None];
        let mut contestants = Vec::new();
        let mut rows: Vec<Option<BenchRow>> = vec![None; candidates.len()];
        for (at, candidate) in candidates.iter().enumerate() {
            event(Event::Running { kernel: candidate.name(), problem });
            let layout = usize::from(candidate.is_packed());
            let mut row = self.row(problem, candidate);
            match self.enter(problem, candidate, &mut inputs[layout], &mut row).await? {
                Ok((sets, passed)) => {
                    let (times, cold) = (Vec::new(), Vec::new());
                    contestants.push((at, Contestant { candidate, inputs: layout, sets, row, passed, times, cold }));
                }
                Err(rejection) => {
                    reject(&mut row, rejection);
                    event(Event::Row(&row));
                    rows[at] = Some(row);
                }
            }
        }
        let mut round = 0;
        let mut stopwatch = Stopwatch::new(&self.gpu)?;
        while contestants.iter().any(|(_, contestant)| self.is_running(contestant)) {
            for turn in 0..contestants.len() {
                // Another one begins in each round.
                let turn = (turn + round) % contestants.len();
                let (_, contestant) = &mut contestants[turn];
                let inputs = inputs[contestant.inputs].as_ref();
                if let Some(inputs) = inputs.filter(|_| self.is_running(contestant)) {
                    event(Event::Running { kernel: contestant.candidate.name(), problem });
                    self.turn(problem, contestant, inputs, &mut stopwatch).await?;
                }
            }
            round += 1;
        }
        for (at, contestant) in contestants {
            let row = self.finished(contestant, &stopwatch);
            event(Event::Row(&row));
            rows[at] = Some(row);
        }
        Ok(rows.into_iter().flatten().collect())
    }

    /// Whether further runs of a contestant are timed.
    fn is_running(&self, contestant: &Contestant<'_>) -> bool {
        let (count, total) = (contestant.times.len(), contestant.times.iter().sum::<f64>());
        let all = total * contestant.sets.len() as f64;
        let is_enough = count >= self.config.runs as usize && all >= self.config.least_ms;
        let is_long = count >= LEAST_RUNS && all >= self.config.most_ms;
        contestant.row.status.passed() && !is_enough && !is_long
    }

    /// A row without results.
    fn row(&self, problem: &AttentionProblem, candidate: &Candidate) -> BenchRow {
        let (file, sha256) = match candidate {
            Candidate::Foreign(kernel) => (Some(kernel.file.clone()), Some(kernel.sha256())),
            _ => (None, None),
        };
        let (warmup, seed) = (self.config.warmup, self.config.seed);
        let row = BenchRow::of_attention(problem, candidate.name(), &self.environment);
        BenchRow { warmup, file, sha256, seed, ..row }
    }

    fn next_seed(&mut self) -> u64 {
        let words = self.random.integers(2, u32::MAX);
        u64::from(words[0]) << 32 | u64::from(words[1])
    }

    /// Creates the buffers of a candidate, runs it on redrawn inputs, and compares the bits of
    /// repeated runs.
    async fn enter(
        &mut self,
        problem: &AttentionProblem,
        candidate: &Candidate,
        inputs: &mut Option<Inputs>,
        row: &mut BenchRow,
    ) -> Result<std::result::Result<(Vec<OutputSet>, Passed), Rejection>> {
        if problem.dtype == DType::F16 && !self.gpu.features().contains(wgpu::Features::SHADER_F16) {
            let message = format!("{} has no f16", self.environment.adapter);
            return Ok(Err(Rejection::new(Status::Unsupported, message)));
        }
        if !candidate.supports(problem) {
            let message = format!("{} is for other shapes, see Candidate", candidate.name());
            return Ok(Err(Rejection::new(Status::Unsupported, message)));
        }
        match self.try_enter(problem, candidate, inputs, row).await {
            // A device that is lost runs nothing else.
            Err(error) if self.gpu.is_lost() => Err(error),
            Err(error) => Ok(Err(of_others(error))),
            Ok(entered) => Ok(entered),
        }
    }

    async fn try_enter(
        &mut self,
        problem: &AttentionProblem,
        candidate: &Candidate,
        slot: &mut Option<Inputs>,
        row: &mut BenchRow,
    ) -> Result<std::result::Result<(Vec<OutputSet>, Passed), Rejection>> {
        let gpu = self.gpu.clone();
        let inputs = match slot {
            Some(inputs) => inputs,
            None => slot.insert(Inputs::new(&gpu, problem, candidate.is_packed())?),
        };
        let start = Instant::now();
        let launches = match candidate.launches(problem) {
            Ok(launches) => launches,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let logging = gpu.with_selection_log();
        let first = match OutputSet::new(&logging, problem, &launches, inputs) {
            Ok(set) => set,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let taken: Vec<&str> = logging.selections().iter().map(|selection| selection.taken).collect();
        row.launched = match taken.is_empty() {
            true => first.run.kernels().join(" "),
            false => format!("{} as {}", first.run.kernels().join(" "), taken.join(" ")),
        };
        let mut passed = Passed::default();
        let mut ms = f64::INFINITY;
        for run in 0..self.config.warmup.max(2) {
            let seed = self.next_seed();
            inputs.draw(&gpu, problem, seed)?.submit();
            first.poison();
            gpu.finished().await?;
            let begun = if run == 0 { start } else { Instant::now() };
            first.run.submit();
            gpu.finished().await?;
            let elapsed = begun.elapsed().as_secs_f64() * 1e3;
            if run == 0 {
                row.first_use_ms = Some(elapsed);
            } else {
                ms = ms.min(elapsed);
            }
            match gate::check(&gpu, problem, inputs, &[&first], seed, &mut self.random).await? {
                Ok(checked) => passed = passed.and(checked),
                Err(rejection) => return Ok(Err(self.explained(problem, candidate, inputs, rejection).await)),
            }
        }
        // Runs of a timed pass, and one more for cold runs and repetitions.
        let most = (output_budget(&gpu) / OutputSet::bytes(problem)).saturating_sub(1).clamp(1, MOST_SETS);
        let count = ((PASS_MS / ms).ceil() as u64).clamp(1, most);
        let mut sets = vec![first];
        for _ in 0..count {
            match OutputSet::new(&gpu, problem, &launches, inputs) {
                Ok(set) => sets.push(set),
                Err(rejection) => return Ok(Err(rejection)),
            }
        }
        let differing = self.repeat(problem, inputs, &sets).await?;
        row.repeats = self.config.repeats;
        row.deterministic = Some(differing == 0);
        Ok(Ok((sets, passed)))
    }

    /// Runs a candidate repeatedly on the same inputs; returns the number of words that differ from those of the first run.
    async fn repeat(&mut self, problem: &AttentionProblem, inputs: &Inputs, sets: &[OutputSet]) -> Result<u64> {
        let seed = self.next_seed();
        inputs.draw(&self.gpu, problem, seed)?.submit();
        let (first, second) = (&sets[0], &sets[1]);
        first.poison();
        first.run.submit();
        let counts = self.gpu.buffer("arena.differing", 2)?;
        counts.write(&self.gpu, &[0u32; 2])?;
        let mut count = Plan::new(&self.gpu);
        second.count(&mut count, first, |_| Ok(counts.view()))?;
        for _ in 1..self.config.repeats {
            second.poison();
            second.run.submit();
            count.submit();
            self.gpu.finished().await?;
        }
        let words: Vec<u32> = counts.read_async(&self.gpu, 2).await?;
        Ok(words[1].into())
    }

    /// The same rejection, or another one if a driver ended a loop of the kernel: Mesa's software drivers end invocations
    /// after 65,535 turns without an error, so that a kernel that never ends seems to be wrong.
    async fn explained(
        &self,
        problem: &AttentionProblem,
        candidate: &Candidate,
        inputs: &Inputs,
        rejection: Rejection,
    ) -> Rejection {
        let Candidate::Foreign(kernel) = candidate else { return rejection };
        if !self.gpu.is_software() || rejection.status == Status::ModifiedInput {
            return rejection;
        }
        let Ok((set, turns)) = OutputSet::counting(&self.gpu, problem, kernel, inputs) else { return rejection };
        if turns.write(&self.gpu, &[0u32; 4]).is_err() {
            return rejection;
        }
        set.run.submit();
        match turns.read_async::<u32>(&self.gpu, 1).await {
            Ok(words) if words[0] != 0 => {
                let message = format!(
                    "an invocation has more than {} turns of loops, after which this driver ends it without an error",
                    crate::kernels::device::probe::MOST_ITERATIONS
                );
                Rejection::new(Status::Timeout, message)
            }
            _ => rejection,
        }
    }

    /// One turn of a contestant: other inputs, a cold run, a timed pass, and the check of its outputs.
    async fn turn(
        &mut self,
        problem: &AttentionProblem,
        contestant: &mut Contestant<'_>,
        inputs: &Inputs,
        stopwatch: &mut Stopwatch,
    ) -> Result<()> {
        match self.try_turn(problem, contestant, inputs, stopwatch).await {
            Err(error) if self.gpu.is_lost() => Err(error),
            Err(error) => {
                reject(&mut contestant.row, of_others(error));
                Ok(())
            }
            Ok(Err(rejection)) => {
                reject(&mut contestant.row, rejection);
                Ok(())
            }
            Ok(Ok(passed)) => {
                contestant.passed = contestant.passed.and(passed);
                Ok(())
            }
        }
    }

    async fn try_turn(
        &mut self,
        problem: &AttentionProblem,
        contestant: &mut Contestant<'_>,
        inputs: &Inputs,
        stopwatch: &mut Stopwatch,
    ) -> Result<std::result::Result<Passed, Rejection>> {
        let seed = self.next_seed();
        inputs.draw(&self.gpu, problem, seed)?.submit();
        let [cold, timed @ ..] = contestant.sets.as_slice() else { return Ok(Ok(Passed::default())) };
        contestant.sets.iter().for_each(OutputSet::poison);
        if contestant.cold.len() < COLD && self.config.flush_bytes > 0 {
            self.flush()?;
            contestant.cold.push(stopwatch.time(&[&cold.run]).await?);
        } else {
            cold.run.submit();
        }
        let plans: Vec<&Plan> = timed.iter().map(|set| &set.run).collect();
        let ms = stopwatch.time(&plans).await?;
        contestant.times.push(ms / plans.len() as f64);
        let sets: Vec<&OutputSet> = contestant.sets.iter().collect();
        gate::check(&self.gpu, problem, inputs, &sets, seed, &mut self.random).await
    }

    /// Writes a buffer that replaces what caches hold.
    fn flush(&mut self) -> Result<()> {
        if self.flush.is_none() {
            let buffer = self.gpu.buffer("arena.flush", self.config.flush_bytes / 4)?;
            let mut plan = Plan::new(&self.gpu);
            FillWords { x: buffer.view() }.record(&mut plan, (self.config.flush_bytes / 16) as u32, POISON)?;
            self.flush = Some((plan, buffer));
        }
        if let Some((plan, _)) = &self.flush {
            plan.submit();
        }
        Ok(())
    }

    /// The row of a contestant with its statistics.
    fn finished(&self, contestant: Contestant<'_>, stopwatch: &Stopwatch) -> BenchRow {
        let Contestant { mut row, passed, times, cold, sets, .. } = contestant;
        if let Some([error, tolerance]) = passed.worst {
            (row.max_error, row.tolerance) = (Some(error), Some(tolerance));
        }
        row.deterministic = row.deterministic.map(|deterministic| deterministic && passed.differing == 0);
        if !row.status.passed() || times.is_empty() {
            return row;
        }
        row.launches_per_run = sets.len() as u32 - 1;
        row.drift_percent = drift(&times);
        row.fill_times(&times, stopwatch.clock(), &self.limits);
        if !cold.is_empty() {
            let [low, median, high] = quartiles(&cold);
            row.cold_ms = Some(median);
            row.cold_quartiles_ms = Some([low, high]);
        }
        row
    }
}

fn reject(row: &mut BenchRow, rejection: Rejection) {
    row.status = rejection.status;
    row.error = Some(rejection.message);
}

/// Quartiles by linear interpolation: lower, median, upper.
pub(super) fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|share| {
        let at = share * (values.len() - 1) as f64;
        let (below, part) = (at as usize, at.fract());
        let above = values[(below + 1).min(values.len() - 1)];
        values[below] + part * (above - values[below])
    })
}

/// Median of the last third divided by that of the first third, minus 1, in percent; `None` for fewer than six times.
fn drift(times: &[f64]) -> Option<f64> {
    let third = times.len() / 3;
    if third < 2 {
        return None;
    }
    let median = |times: &[f64]| quartiles(times)[1];
    Some(100.0 * (median(&times[times.len() - third..]) / median(&times[..third]) - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated_and_drift_compares_thirds() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0, 5.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[2.0, 1.0]), [1.25, 1.5, 1.75]);
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert_eq!(drift(&[1.0; 5]), None);
        assert_eq!(drift(&[2.0, 2.0, 9.0, 9.0, 3.0, 3.0]), Some(50.0));
    }
}
