//! `ketformer report`: HTML report of a run.

use std::path::Path;

use ketformer::gpu::{Gpu, Profile};
use ketformer::model::Weights;
use ketformer::run::{REPORT_FILE, Report, RunSettings, SETTINGS_FILE, is_stream};
use ketformer::vmc::{PartTime, SampleConfig, State, Trainer};
use ketformer::{Error, ErrorKind, Result};

use super::gpt;
use crate::cli::arguments::ReportArguments;
use crate::cli::groups::{Problem, hamiltonian, report as group, train, wave_function};
use crate::cli::output::exact_answer::exact_energy;
use crate::cli::output::number::Measurement;
use crate::cli::output::steps::recorded_steps;
use crate::cli::output::{chains, concentration, shortfall};
use crate::cli::settings::Settings;
use crate::cli::settings::typed::words;
use crate::cli::subject::{RunSubject, of_run, split_runs};
use crate::cli::{Outcome, device, output};

/// Maximum number of samples in the averages of attention, which are only displayed.
const ATTENDING: usize = 512;

/// Samples, evaluates and times the wave function, and writes the report.
///
/// # Errors
/// Errors of settings, files, weights, adapter and memory.
pub fn run(arguments: &ReportArguments) -> Result<Outcome> {
    let (typed, runs) = split_runs(&arguments.words);
    let run = the_run(&runs)?;
    if RunSettings::load(&run.join(SETTINGS_FILE)).is_ok_and(|settings| settings.is_gpt()) {
        return gpt::report::run(arguments, run, &typed);
    }
    let options = group::GROUP.parse(&typed)?;
    let RunSubject { settings, problem, weights, origin } = of_run(run, arguments.gpu.memory)?;
    let Problem { lattice, hamiltonian, model, .. } = &problem;
    let say = |text: &str| (!arguments.gpu.quiet).then(|| output::note(&text));
    if !arguments.gpu.quiet {
        problem.show_notes();
    }
    if !origin.is_final() {
        say(&format!("the numbers are of {}", origin.described()));
    }
    let steps = recorded_steps(run);
    let exact = exact_energy(&problem)?;
    shortfall::warn(&problem, exact);
    let gpu = device::open(&arguments.gpu.adapter)?;

    let samples = options.size("samples");
    say(&format!("drawing {samples} samples"));
    let (seed, memory) = (options.optional_count("seed").unwrap_or_else(train::draw_seed), arguments.gpu.memory);
    let state = State::new(&gpu, lattice, model.as_ref(), &weights).with_memory(memory);
    let estimate = state.expect(hamiltonian.as_ref(), SampleConfig { samples, seed })?;
    if let Some(report) = &estimate.chains {
        chains::warn(report);
    }
    let energy = Measurement { mean: estimate.energy, error: estimate.energy_error };
    concentration::warn(&estimate.concentration, energy, &problem);
    let shown = options.size("snapshots");
    let attending = ATTENDING.min(samples).max(shown);
    let mut drawn = state.sample(SampleConfig { samples: attending, seed })?.configurations;
    say("computing attention maps");
    let attention = state.attention_maps(&drawn)?;
    drawn.truncate(shown);

    let replays = options.count("runs") as u32;
    let mut parts = Vec::new();
    if replays > 0 {
        say("timing the parts of a step");
        parts = part_times(&gpu, &problem, &settings, &weights, memory, replays)?;
    }
    let path = arguments.out.clone().unwrap_or_else(|| run.join(REPORT_FILE));
    let report = Report {
        title: title(&problem),
        exact,
        lattice: problem.lattice,
        settings,
        origin,
        steps,
        estimate,
        snapshots: drawn,
        attention,
        parts,
    };
    report.save(&path)?;
    if is_stream(&path) {
        return Ok(Outcome::Done);
    }
    output::line(path.display());
    say("it opens in any browser, without network access");
    Ok(Outcome::Done)
}

/// Returns the only run folder among the arguments.
fn the_run(runs: &[String]) -> Result<&Path> {
    let fault = |text: &str| Err(Error::new(ErrorKind::Settings, format!("report: {text}")));
    match runs {
        [run] => Ok(Path::new(run)),
        [] => fault("nothing to show; give a run folder, such as out/1"),
        _ => fault("more than one run folder is given; report on them one by one"),
    }
}

/// Measures the time of each part of a step with the settings of the run, on the current adapter.
fn part_times(
    gpu: &Gpu,
    problem: &Problem,
    settings: &RunSettings,
    weights: &Weights,
    memory: Option<u64>,
    replays: u32,
) -> Result<Vec<PartTime>> {
    let Problem { lattice, hamiltonian, model, .. } = problem;
    let mut own: Settings = train::GROUP.parse(&words(&settings.train))?;
    let config = train::config(&mut own, memory)?;
    let mut trainer = Trainer::new(gpu, lattice, hamiltonian.as_ref(), model.as_ref(), config)?;
    trainer.set_weights(weights)?;
    trainer.part_times(Profile { warmup: 0, runs: replays })
}

/// Title of the report: wave function, Hamiltonian and lattice.
fn title(problem: &Problem) -> String {
    let Problem { lattice, hamiltonian_settings, model_settings, .. } = problem;
    format!("{}, {}", wave_function::title(model_settings), hamiltonian::title(hamiltonian_settings, lattice))
}
