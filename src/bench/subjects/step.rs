//! Benchmark of a training step of a family at a shape (L, K, Nh): whole, by parts, by kernels; and of its connected
//! configurations only.
//!
//! The first steps train from random weights, where nearly all samples differ: the worst case. The launches of the
//! parts are timed one by one, so the parts add up to somewhat more than the step. Rates count every row up to the
//! capacity.
//!
//! A whole step has no reference. Its correctness check is that each launched kernel agrees with its own reference on
//! this adapter in the first cases of its table, and that the first step is finite.

use std::time::Instant;

use crate::bench::key::RowKey;
use crate::bench::session::Bench;
use crate::bench::shape::BenchShape;
use crate::bench::subject::Subject;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Clock, Cost, Gpu, Plan, ProfileRow, Timing};
use crate::kernels::{self, Comparison};
use crate::model::{Lptf, Model, Ptf, Rnn, Subsampler};
use crate::physics::{Lattice, Patch, Rydberg};
use crate::vmc::{Optimizer, ReconfigurationCost, StochasticReconfiguration, TrainConfig, Trainer};

/// Number of cases per kernel in the correctness check.
const CASES: usize = 2;

/// Wave function of 2x2 patches, drawn directly or as the sub-patches of large 4x4 patches.
fn model(subject: Subject, width: u32) -> Box<dyn Model> {
    let (patch, width) = (Patch::Block([2, 2]), width as usize);
    let rnn = Rnn { patch, width, ..Rnn::default() };
    match subject {
        Subject::StepRnn => Box::new(rnn),
        Subject::StepLptf => {
            let transformer = Ptf { patch: Patch::Block([4, 4]), width, ..Ptf::default() };
            Box::new(Lptf { transformer, subsampler: Subsampler::Rnn(rnn) })
        }
        Subject::StepSr => Box::new(Ptf { patch, width, feed_forward: 4 * width, ..Ptf::default() }),
        _ => Box::new(Ptf { patch, width, ..Ptf::default() }),
    }
}

type Problem = (Lattice, Box<dyn Model>, TrainConfig);

fn problem(subject: Subject, sites: u32, samples: u32, width: u32) -> Result<Problem> {
    let lattice = Lattice::from_sites(sites as usize)?;
    let memory = match subject {
        Subject::StepLptf => Some(1 << 30),
        Subject::StepSr => Some(2 << 30),
        _ => None,
    };
    let optimizer = match subject {
        Subject::StepSr => Optimizer::StochasticReconfiguration(StochasticReconfiguration::default()),
        _ => Optimizer::Adam,
    };
    let config = TrainConfig { samples: samples as usize, memory, optimizer, ..TrainConfig::default() };
    Ok((lattice, model(subject, width), config))
}

/// Checks that a step of this shape exists.
pub(super) fn check(subject: Subject, sites: u32, samples: u32, width: u32) -> Result<()> {
    let (lattice, model, config) = problem(subject, sites, samples, width)?;
    lattice.check()?;
    model.check(&lattice)?;
    config.check()
}

/// Trainer with the recorded plan of a step.
pub(in crate::bench) fn planned(gpu: &Gpu, subject: Subject, shape: &BenchShape) -> Result<Trainer> {
    let [sites, samples, width] = shape.sizes()?;
    let (lattice, model, config) = problem(subject, sites, samples, width)?;
    Trainer::new(gpu, &lattice, &Rydberg::default(), &*model, config)
}

/// Trainer of a measured step.
pub(in crate::bench) trait StepTrainer {
    /// The plan of a step that [`Self::step`] replays first.
    fn plan(&self) -> &Plan;

    /// All plans of a step.
    fn plans(&self) -> Vec<&Plan>;

    /// Runs a step; returns whether it was finite, and its seconds.
    fn step(&mut self) -> Result<(bool, f64)>;
}

impl StepTrainer for Trainer {
    fn plan(&self) -> &Plan {
        self.plan()
    }

    fn plans(&self) -> Vec<&Plan> {
        self.plans()
    }

    fn step(&mut self) -> Result<(bool, f64)> {
        let report = self.steps(1).next().transpose()?.ok_or_else(no_step)?;
        let finite = report.accepted && report.energy.is_finite() && report.gradient_norm.is_finite();
        Ok((finite, report.seconds))
    }
}

/// Error of a trainer that did not run a step.
pub(super) fn no_step() -> Error {
    Error::new(ErrorKind::Device, "bench: the trainer ran no step; run `ketformer doctor`")
}

/// Compares the first cases of every kernel of the step, and checks that the first step was finite.
fn gate(session: &mut Bench<'_>, trainer: &impl StepTrainer, finite: bool) -> Result<Vec<Comparison>> {
    let error = if finite { 0.0 } else { f64::INFINITY };
    let mut measured = vec![Comparison { output: "loss and gradient", error, tolerance: 0.0 }];
    trainer
        .plans()
        .into_iter()
        .try_for_each(|plan| kernel_gate(session, plan).map(|of_plan| measured.extend(of_plan)))?;
    Ok(measured)
}

/// Compares the first cases of every kernel that `plan` launches. Each kernel runs them once per session.
pub(super) fn kernel_gate(session: &mut Bench<'_>, plan: &Plan) -> Result<Vec<Comparison>> {
    for name in plan.kernels() {
        if session.gated.contains_key(name) {
            continue;
        }
        let mut measured = Vec::new();
        for case in (kernels::find(name)?.cases)(session.gpu).into_iter().take(CASES) {
            let words = case.run(session.gpu)?;
            // Labeled by the name of the kernel, because there are many.
            measured.extend(case.compare(&words).into_iter().map(|m| Comparison { output: name, ..m }));
        }
        session.gated.insert(name, measured);
    }
    Ok(plan.kernels().into_iter().flat_map(|name| session.gated[name].clone()).collect())
}

/// Adds the row of a part or a kernel of the step. Its time is already a median.
fn part_row(session: &mut Bench<'_>, title: &RowKey, rows: &[&ProfileRow]) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let launches: usize = rows.iter().map(|row| row.launches).sum();
    let mut row = session.row(title, format!("{launches} launches"));
    let timing = Timing::new(vec![rows.iter().map(|row| row.median_ms).sum()], first.clock)?;
    session.fill(&mut row, &timing, rows.iter().fold(Cost::default(), |sum, row| sum + row.cost));
    row.spread = None;
    session.push(row);
    Ok(())
}

/// Adds the rows of part `wanted`, or of all parts, then of their kernels, slowest first.
fn part_rows(
    session: &mut Bench<'_>,
    (subject, plan): (Subject, &Plan),
    shape: &BenchShape,
    wanted: Option<&str>,
) -> Result<()> {
    let mut rows = plan.profile(session.profile)?;
    rows.retain(|row| wanted.is_none_or(|wanted| row.scope == wanted));
    let mut parts: Vec<&str> = Vec::new();
    rows.iter().for_each(|row| {
        if !parts.contains(&row.scope) {
            parts.push(row.scope);
        }
    });
    for part in parts {
        let of_part: Vec<&ProfileRow> = rows.iter().filter(|row| row.scope == part).collect();
        part_row(session, &RowKey::new(subject.name(), part, shape), &of_part)?;
    }
    rows.sort_by(|a, b| b.median_ms.total_cmp(&a.median_ms));
    rows.iter().try_for_each(|row| part_row(session, &RowKey::new(row.kernel, row.scope, shape), &[row]))
}

/// Trainer of `make` after its first step whose kernels passed the correctness check, the milliseconds of that step and
/// the maximum error; otherwise adds a row with the error.
fn passed<T: StepTrainer>(
    session: &mut Bench<'_>,
    title: &RowKey,
    make: impl FnOnce(&Gpu) -> Result<T>,
) -> Result<Option<(T, f64, f64)>> {
    session.tell(title);
    session.gpu.selections();
    let start = Instant::now();
    let mut trainer = make(session.gpu)?;
    let (finite, _) = trainer.step()?;
    let first_ms = start.elapsed().as_secs_f64() * 1e3;
    if !session.is_wanted() {
        return Ok(None);
    }
    let measured = gate(session, &trainer, finite)?;
    if let Some(error) = session.verdict(&measured) {
        let mut row = session.row(title, String::new());
        row.error = Some(error);
        session.push(row);
        return Ok(None);
    }
    Ok(Some((trainer, first_ms, measured.iter().map(|m| m.error).fold(0.0, f64::max))))
}

/// Measures the connected configurations of a step and their kernels.
pub(super) fn run_connected(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let step = Subject::Step;
    let title = RowKey::new(step.name(), "moves", shape);
    match passed(session, &title, |gpu| planned(gpu, step, shape))? {
        Some((trainer, ..)) => part_rows(session, (step, trainer.plan()), shape, Some("moves")),
        None => Ok(()),
    }
}

/// Measures the step, whole and by parts.
pub(super) fn run_step(session: &mut Bench<'_>, subject: Subject, shape: &BenchShape) -> Result<()> {
    let title = RowKey::new(subject.name(), "whole", shape);
    let make = |gpu: &Gpu| planned(gpu, subject, shape);
    if subject == Subject::StepSr {
        let Some((mut trainer, first_ms, max_error)) = passed(session, &title, make)? else { return Ok(()) };
        return reconfiguration_rows(session, &mut trainer, shape, first_ms, max_error);
    }
    let Some((trainer, _)) = step_rows(session, subject, shape, make)? else { return Ok(()) };
    let [group, moves, gradient] = trainer.chunks();
    let mebibytes = trainer.memory() as f64 / f64::from(1 << 20);
    session.notes.push(format!(
        "{} {mebibytes:.1} MiB; samples per group {group}, per local-energy pass {moves}, per gradient pass {gradient}",
        described(subject, shape, trainer.plan())
    ));
    Ok(())
}

/// Start of a note about a step.
pub(super) fn described(subject: Subject, shape: &BenchShape, plan: &Plan) -> String {
    format!("{subject} {shape}: {:.1} GFLOP, {} launches,", plan.cost().flops / 1e9, plan.len())
}

/// Adds the rows of the step of `make`: whole, the host's replay, its parts and its kernels. Returns the trainer and the
/// median seconds of a step, or adds a row with the error of a wrong kernel.
pub(super) fn step_rows<T: StepTrainer>(
    session: &mut Bench<'_>,
    subject: Subject,
    shape: &BenchShape,
    make: impl FnOnce(&Gpu) -> Result<T>,
) -> Result<Option<(T, f64)>> {
    let title = RowKey::new(subject.name(), "whole", shape);
    let Some((mut trainer, first_ms, max_error)) = passed(session, &title, make)? else { return Ok(None) };
    let launched = format!("{} launches", trainer.plan().len());
    for _ in 0..session.profile.warmup {
        trainer.step()?;
    }
    let runs = session.profile.runs;
    let times = (0..runs).map(|_| trainer.step().map(|(_, seconds)| 1e3 * seconds));
    let times = Timing::new(times.collect::<Result<_>>()?, Clock::Host)?;
    let seconds = times.median() / 1e3;
    let mut row = session.row(&title, launched.clone());
    session.fill(&mut row, &times, trainer.plan().cost());
    (row.first_use_ms, row.max_error) = (Some(first_ms), Some(max_error));
    session.push(row);

    let replay = |_| {
        let start = Instant::now();
        let mut encoder = session.gpu.device().create_command_encoder(&Default::default());
        trainer.plan().encode_pass(&mut encoder);
        drop(encoder.finish());
        start.elapsed().as_secs_f64() * 1e3
    };
    let times = Timing::new((0..runs).map(replay).collect(), Clock::Host)?;
    let mut row = session.row(&RowKey::new(subject.name(), "host replay", shape), launched);
    session.fill(&mut row, &times, Cost::default());
    session.push(row);
    part_rows(session, (subject, trainer.plan()), shape, None)?;
    Ok(Some((trainer, seconds)))
}

/// Measures steps of stochastic reconfiguration, whole and by consecutive parts, with the host clock.
fn reconfiguration_rows(
    session: &mut Bench<'_>,
    trainer: &mut Trainer,
    shape: &BenchShape,
    first_ms: f64,
    max_error: f64,
) -> Result<()> {
    const PARTS: [&str; 5] = ["whole", "samples and energies", "gram", "solve", "apply"];
    let mut times: [Vec<f64>; 5] = Default::default();
    let mut cost = ReconfigurationCost::default();
    for _ in 0..session.profile.runs.max(1) {
        let Some(report) = trainer.steps(1).next().transpose()? else { break };
        cost = trainer.reconfiguration().unwrap_or_default();
        let parts = [cost.gram_seconds, cost.solve_seconds, cost.apply_seconds];
        let [gram, solve, apply] = parts;
        let seconds = [report.seconds, report.seconds - parts.iter().sum::<f64>(), gram, solve, apply];
        times.iter_mut().zip(seconds).for_each(|(times, seconds)| times.push(1e3 * seconds));
    }
    // Cholesky factorization of the small problem; everything else in the step is negligible in comparison.
    let solve = Cost { flops: (cost.rows as f64).powi(3) / 3.0, bytes: 8.0 * (cost.rows as f64).powi(2) };
    let sampling = trainer.plan().cost();
    let costs = [sampling + cost.gram + solve + cost.apply, sampling, cost.gram, solve, cost.apply];
    for ((part, times), cost) in PARTS.into_iter().zip(times).zip(costs) {
        let mut row = session.row(&RowKey::new(Subject::StepSr.name(), part, shape), String::new());
        session.fill(&mut row, &Timing::new(times, Clock::Host)?, cost);
        if part == PARTS[0] {
            (row.first_use_ms, row.max_error) = (Some(first_ms), Some(max_error));
        }
        session.push(row);
    }
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    let [group, moves, gradient] = trainer.chunks();
    session.notes.push(format!(
        "{} {shape}: {} parameters, {} deduplicated samples, whose Jacobian would take {:.0} MiB; {:.1} MiB used; {} \
         passes over layers, {} products of pairs of rows and {} of columns; gram {:.0} GFLOP, apply {:.1} GFLOP; \
         samples per group {group}, per local-energy pass {moves}, per gradient pass {gradient}",
        Subject::StepSr.name(),
        cost.parameters,
        cost.rows,
        mebibytes(4.0 * cost.rows as f64 * cost.parameters as f64),
        mebibytes(trainer.memory() as f64),
        cost.passes,
        cost.additions[0],
        cost.additions[1],
        cost.gram.flops / 1e9,
        cost.apply.flops / 1e9,
    ));
    Ok(())
}
