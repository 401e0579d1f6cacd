//! Job of `ketformer train` from its arguments or from a run folder.

use std::path::Path;

use ketformer::Result;
use ketformer::run::RunSettings;
use ketformer::vmc::{Sampling, enumerated_configurations};

use super::WaveFunctionTraining;
use crate::cli::arguments::{GroupArguments, TrainArguments};
use crate::cli::groups::{Problem, train};
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::typed::Typed;
use crate::cli::settings::{Extent, Settings, Value};
use crate::cli::shell::quoted;
use crate::cli::training::{Job, RunLocation, resume};

impl WaveFunctionTraining {
    /// Checks the arguments of a new run.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for invalid or contradictory settings.
    pub fn job(arguments: &TrainArguments) -> Result<Job<Self>> {
        let settings = train::GROUP.parse(&arguments.words())?;
        let GroupArguments { model, hamiltonian } = &arguments.groups;
        let problem = Problem::new(model, hamiltonian, settings.optional_extent("L"), arguments.gpu.memory)?;
        let location = RunLocation::new(arguments.out.as_deref(), &settings, arguments.output.tensorboard)?;
        let flags = arguments.gpu.reproducing(arguments.weights.as_deref(), arguments.output.tensorboard).into_iter();
        of((problem, location), settings, arguments, |problem, settings| command(problem, settings, flags))
    }

    /// Job of the run in the folder `path`, with `changes` to its settings.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for invalid or contradictory settings.
    pub fn job_of_run(
        path: &Path,
        run: &RunSettings,
        changes: &[String],
        arguments: &TrainArguments,
    ) -> Result<Job<Self>> {
        let settings = train::GROUP.parse(&resume::changed_words(run, train::GROUP.name, changes))?;
        let problem = Problem::new(
            &Typed::of_run(&run.groups),
            &Typed::of_run(&run.groups),
            settings.optional_extent("L"),
            arguments.gpu.memory,
        )?;
        of((problem, RunLocation::At(path.into())), settings, arguments, |_, _| run.command.clone())
    }
}

fn of(
    (problem, location): (Problem, RunLocation),
    mut settings: Settings,
    arguments: &TrainArguments,
    command: impl FnOnce(&Problem, &Settings) -> String,
) -> Result<Job<WaveFunctionTraining>> {
    settings.resolve("L", Value::Extent(Extent::Sites(problem.lattice.sites() as u64)));
    let mut config = train::config(&mut settings, arguments.gpu.memory)?;
    match config.sampling {
        Sampling::FullSum => {
            let Problem { model, lattice, hamiltonian, .. } = &problem;
            config.samples = enumerated_configurations(model.as_ref(), lattice, hamiltonian.as_ref())?;
        }
        _ => settings.resolve("B", Value::Count(config.samples as u64)),
    }
    let command = command(&problem, &settings);
    let training = WaveFunctionTraining { problem, config, exact: None };
    let style = OutputStyle::new(arguments.output.json, arguments.gpu.quiet);
    Ok(Job::of(training, location, settings, command, (style, arguments.output.tensorboard)))
}

/// Command that reproduces the run, with every setting spelled out. It writes into a new folder.
fn command(problem: &Problem, settings: &Settings, flags: impl Iterator<Item = String>) -> String {
    let mut words = vec!["ketformer".to_string(), "train".into()];
    let typed = |settings: &Settings| settings.resolved().map(|(name, value)| format!("{name}={value}")).collect();
    words.extend::<Vec<_>>(typed(settings));
    for group in problem.settings() {
        words.push(format!("--{}", group.group().name));
        words.extend::<Vec<_>>(typed(group));
    }
    words.extend(flags);
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};
    use crate::cli::groups::wave_function;
    use crate::cli::reference_line::with_subcommand;

    fn job(line: &str) -> Result<Job<WaveFunctionTraining>> {
        let typed = ["ketformer", "train"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(typed).unwrap().command {
            Command::Train(arguments) => WaveFunctionTraining::job(&arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_of_the_settings_file_asks_the_same_again() {
        let first = job("L=64 K=512 lr=1e-3 seed=None --ptf patch=2x2 --rydberg delta=1.2 --memory 1GiB --tensorboard")
            .unwrap();
        let expected = "ketformer train L=64 K=512 Q=1 B=512 sampler=own steps=50000 ";
        assert!(first.command.starts_with(expected) && first.command.contains(" lr=0.001 "), "{}", first.command);
        let second = job(first.command.strip_prefix("ketformer train ").unwrap()).unwrap();
        assert_eq!(first.command, second.command);
        assert_eq!(
            (second.training.config.seed, second.training.config.memory),
            (first.training.config.seed, Some(1 << 30))
        );
        assert!(second.tensorboard);
    }

    #[test]
    fn the_command_of_every_family_asks_the_same_again() {
        for (line, resolved) in [
            ("--ptf patch=2x2 attention=softmax norm=post", "--ptf patch=2x2 Nh=128"),
            ("--rnn patch=2x2 rnntype=elman", "--rnn patch=2x2 Nh=256 rnntype=ELMAN"),
            ("--rnn patch=2x1 --lptf patch=2x2 Nh=16", "--rnn L=4 patch=2x1 Nh=16 rnntype=GRU"),
            ("--lptf patch=4x2 --ptf L=4x2 patch=2x2 Nh=32", "--ptf L=4x2 patch=2x2 Nh=32"),
            (
                "--rbm alpha=0.5 chains=16 proposal=flip",
                "--rbm alpha=0.5 chains=16 sweeps=10 burn_in=100 proposal=flip",
            ),
        ] {
            let first = job(line).unwrap();
            assert!(first.command.contains(resolved), "{}", first.command);
            let second = job(first.command.strip_prefix("ketformer train ").unwrap()).unwrap();
            assert_eq!(first.command, second.command);
        }
    }

    /// Command lines from the help and the description of the reference code.
    #[test]
    fn the_command_lines_of_the_reference_are_understood() {
        for (line, title) in [
            ("--train L=64 NLOOPS=16 K=1024 sub_directory=2x2 --ptf patch=2x2", "ptf patch=2x2"),
            (
                "--rydberg --train L=576 NLOOPS=64 sub_directory=3x3 --lptf patch=3x3 --rnn L=9 patch=3 Nh=128",
                "lptf patch=3x3 of rnn patch=3",
            ),
            ("--rydberg --train L=144 NLOOPS=36 --rnn patch=4", "rnn patch=4"),
            ("--rydberg --train L=144 NLOOPS=24 --ptf patch=2x3", "ptf patch=2x3"),
            ("--train L=36 --lptf patch=2x3 full_seq=False dropout=0.0 --rnn L=2x3", "lptf patch=2x3 of rnn patch=1"),
        ] {
            let typed = ["ketformer"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            let arguments = match Arguments::try_parse_from(with_subcommand(typed)).unwrap().command {
                Command::Train(arguments) => arguments,
                other => panic!("{other:?}"),
            };
            let job = WaveFunctionTraining::job(&arguments).unwrap();
            assert_eq!(wave_function::title(&job.training.problem.model_settings), title);
        }
    }

    #[test]
    fn settings_come_from_both_places_once() {
        let both = job("L=36 --train steps=7 --ptf patch=2x2").unwrap();
        assert_eq!((both.training.problem.lattice.sites(), both.steps), (36, 7));
        let doubled = job("L=36 --train L=36").map(|_| ()).unwrap_err();
        assert!(doubled.to_string().contains("twice"));
    }
}
