//! `ketformer train`: starts a run in a new run folder, or resumes a run.

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

use crate::cli::arguments::TrainArguments;
use crate::cli::output::number::bytes;
use crate::cli::output::progress::{OutputStyle, Progress, RunExtent};
use crate::cli::{Outcome, device, interrupt, output};
pub use job::Job;
use run::Run;

/// Trains and prints the final energy. Everything that can be checked without a GPU is checked before one is opened. A
/// new run folder is removed unless the run starts.
///
/// # Errors
/// Errors of settings, adapter, memory, files and weights.
pub fn run(arguments: &TrainArguments) -> Result<Outcome> {
    match &arguments.resume {
        Some(path) => resume::run(arguments, path),
        None => begin(arguments),
    }
}

/// Starts a new run.
fn begin(arguments: &TrainArguments) -> Result<Outcome> {
    let (job, place) = Job::new(arguments)?;
    interrupt::watch()?;
    let weights = arguments.weights.as_deref().map(Weights::load).transpose()?;
    let folder = place.reserve()?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let trainer = trainer_from(&job, &gpu, weights.as_ref())?;
    if interrupt::requested() {
        output::warning(&"interrupted before the first step: nothing is left behind; the same command starts again");
        return Ok(Outcome::Interrupted);
    }
    let run = Run::begin(&job, folder, &gpu, &trainer)?;
    train(&job, run, &gpu, trainer)
}

/// Finished training run of one point of a sweep.
pub struct Point {
    /// Settings of the run.
    pub job: Job,
    /// Trained weights.
    pub weights: Weights,
}

/// Trains a new run in the folder of `arguments`, from its weights if given. Returns `None` if the user interrupted it.
///
/// # Errors
/// Errors of [`run`].
pub fn begin_point(gpu: &Gpu, arguments: &TrainArguments) -> Result<Option<Point>> {
    let (job, place) = Job::new(arguments)?;
    let weights = arguments.weights.as_deref().map(Weights::load).transpose()?;
    let trainer = trainer_from(&job, gpu, weights.as_ref())?;
    let run = Run::begin(&job, place.reserve()?, gpu, &trainer)?;
    point(job, run, trainer)
}

/// Resumes the run in `path`, if steps remain. Returns `None` if the user interrupted it.
///
/// # Errors
/// Errors of [`run`].
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

/// Runs the remaining steps and shows their progress. After a failure, saves what can be saved.
fn take_steps(job: &Job, run: &mut Run, trainer: &mut Trainer) -> Result<()> {
    let extent = RunExtent {
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

/// Creates a trainer with these initial weights, if given.
fn trainer_from(job: &Job, gpu: &Gpu, weights: Option<&Weights>) -> Result<Trainer> {
    let mut trainer = trainer(job, gpu)?;
    weights.map_or(Ok(()), |weights| trainer.set_weights(weights))?;
    Ok(trainer)
}

/// Runs the remaining steps and concludes the run.
fn train(job: &Job, mut run: Run, gpu: &Gpu, mut trainer: Trainer) -> Result<Outcome> {
    announce(job, gpu, &trainer, &run);
    take_steps(job, &mut run, &mut trainer)?;
    run.conclude(job)
}

/// Prints notes and warnings, after all checks that precede the first step.
fn announce(job: &Job, gpu: &Gpu, trainer: &Trainer, run: &Run) {
    if gpu.is_software() {
        output::warning(&format!(
            "{} computes on the CPU, which works but is slow; if this machine has a GPU, install its Vulkan driver",
            gpu.info().name
        ));
    }
    if job.form != OutputStyle::Text {
        return;
    }
    let renamed: Vec<String> = job.settings.renamed().collect();
    if !renamed.is_empty() {
        output::note(&renamed.join(", "));
    }
    let inert = job.settings.inert().filter_map(|key| Some(format!("{} ({})", key.name, key.inert?)));
    let inert: Vec<String> = inert.collect();
    if !inert.is_empty() {
        output::note(&format!("accepted without effect: {}", inert.join(", ")));
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
