//! `ketformer train`: settings in, run folder out; or a run folder that goes on.

mod job;
mod place;
mod resume;
mod run;

use std::path::Path;

use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::RunFolder;
use ketformer::vmc::Trainer;

use super::arguments::TrainArguments;
use super::number::bytes;
use super::progress::{Extent, Form, Progress};
use super::{Outcome, device, interrupt, output};
pub use job::Job;
use run::Run;

/// Trains and prints the final energy. All that can be checked without a GPU is checked before one is opened, and a new
/// run folder stays only if the run begins.
///
/// # Errors
/// Of every room: settings, adapter, memory, files, weights.
pub fn run(arguments: &TrainArguments) -> Result<Outcome> {
    match &arguments.resume {
        Some(path) => resume::run(arguments, path),
        None => begin(arguments),
    }
}

/// A new run.
fn begin(arguments: &TrainArguments) -> Result<Outcome> {
    let (job, place) = Job::new(arguments)?;
    interrupt::watch()?;
    let weights = arguments.weights.as_deref().map(Weights::load).transpose()?;
    let folder = place.reserve()?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let trainer = trainer_from(&job, &gpu, weights.as_ref())?;
    if interrupt::asked() {
        output::warning(&"interrupted before the first step: nothing is left behind; the same command starts again");
        return Ok(Outcome::Interrupted);
    }
    let run = Run::begin(&job, folder, &gpu, &trainer)?;
    train(&job, run, &gpu, trainer)
}

/// A training run that is done, as a part of something larger.
pub struct Point {
    /// What was asked.
    pub job: Job,
    /// What came out.
    pub weights: Weights,
}

/// Trains in the folder of `arguments`, from its weights if there are some; `None` when the user asked to stop.
///
/// # Errors
/// As [`run`].
pub fn begin_point(gpu: &Gpu, arguments: &TrainArguments) -> Result<Option<Point>> {
    let (job, place) = Job::new(arguments)?;
    let weights = arguments.weights.as_deref().map(Weights::load).transpose()?;
    let trainer = trainer_from(&job, gpu, weights.as_ref())?;
    let run = Run::begin(&job, place.reserve()?, gpu, &trainer)?;
    point(job, run, trainer)
}

/// Goes on with the run in `path`, if there is something left to do.
///
/// # Errors
/// As [`run`].
pub fn finish_point(gpu: &Gpu, arguments: &TrainArguments, path: &Path) -> Result<Option<Point>> {
    let (job, _) = Job::new(arguments)?;
    let mut trainer = trainer(&job, gpu)?;
    let run = resume::restored(&job, RunFolder::existing(path)?, &mut trainer)?;
    point(job, run, trainer)
}

fn point(job: Job, mut run: Run, mut trainer: Trainer) -> Result<Option<Point>> {
    take_steps(&job, &mut run, &mut trainer)?;
    run.draw(&job, None)?;
    Ok((run.done() == job.steps).then_some(trainer.weights()?).map(|weights| Point { job, weights }))
}

/// The steps that are left, with their progress; after a failure what can be saved is.
fn take_steps(job: &Job, run: &mut Run, trainer: &mut Trainer) -> Result<()> {
    let extent = Extent {
        steps: run.done()..job.steps,
        report: job.report,
        sites: job.problem.lattice.sites(),
        samples: job.config.samples,
        memory: trainer.memory(),
    };
    let mut progress = Progress::new(extent, job.form);
    let trained = run.train(job, trainer, &mut progress);
    progress.finish();
    trained.map_err(|error| run.rescue(error, trainer))
}

fn trainer(job: &Job, gpu: &Gpu) -> Result<Trainer> {
    let problem = &job.problem;
    Trainer::new(gpu, &problem.lattice, problem.hamiltonian.as_ref(), problem.model.as_ref(), job.config.clone())
}

/// A trainer that begins with weights, if there are some.
fn trainer_from(job: &Job, gpu: &Gpu, weights: Option<&Weights>) -> Result<Trainer> {
    let mut trainer = trainer(job, gpu)?;
    weights.map_or(Ok(()), |weights| trainer.set_weights(weights))?;
    Ok(trainer)
}

/// The steps that are left, and the end.
fn train(job: &Job, mut run: Run, gpu: &Gpu, mut trainer: Trainer) -> Result<Outcome> {
    announce(job, gpu, &trainer, &run);
    take_steps(job, &mut run, &mut trainer)?;
    run.conclude(job)
}

/// Notes and warnings, told when nothing can fail any more before the first step.
fn announce(job: &Job, gpu: &Gpu, trainer: &Trainer, run: &Run) {
    if gpu.is_software() {
        output::warning(&format!(
            "{} computes on the CPU, which works and is slow; with a GPU in this machine install its Vulkan driver",
            gpu.info().name
        ));
    }
    if job.form != Form::Text {
        return;
    }
    let inert = job.settings.inert().filter_map(|key| Some(format!("{} ({})", key.name, key.inert?)));
    let inert: Vec<String> = inert.collect();
    if !inert.is_empty() {
        output::note(&format!("accepted and without effect here: {}", inert.join(", ")));
    }
    let from = match run.done() {
        0 => String::new(),
        step => format!(", from step {step} on"),
    };
    output::note(&format!(
        "{} parameters, {} on {}, seed {}, run folder {}{from}",
        trainer.parameters(),
        bytes(trainer.memory()),
        gpu.info().name,
        job.config.seed,
        run.place()
    ));
}
