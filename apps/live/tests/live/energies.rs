//! The same seed gives the same energies and losses in the app and on the command line.

use std::path::Path;
use std::process::Command;

use ketformer::Gpu;
use ketformer::model::Ptf;
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{TrainConfig, Trainer};

use crate::SMALL;

/// Energies of the first steps of the small run by the library, which `ketformer train` calls.
pub fn of_library(steps: u64) -> Vec<f64> {
    let gpu = Gpu::new().unwrap();
    let model = Ptf { patch: Patch::Block([1, 1]), width: 16, heads: 4, layers: 1, feed_forward: 32, ..Ptf::default() };
    let cube = 1.2f64 * 1.2 * 1.2;
    let rydberg = Rydberg { v: cube * cube, delta: 1.2, omega: 1.0 };
    let config = TrainConfig { samples: 64, learning_rate: 5e-3, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&gpu, &Lattice::square(2, 2), &rydberg, &model, config).unwrap();
    trainer.steps(steps).map(|report| report.unwrap().energy).collect()
}

/// Lines of `--energies`: the command of the same run, then a step and its energy, or its loss, in each.
pub fn of_app(steps: u64, more: &[&str]) -> (String, Vec<f64>) {
    let steps = steps.to_string();
    let run = Command::new(env!("CARGO_BIN_EXE_ketformer-live"))
        .args(["--energies", "--steps", &steps])
        .args(more)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).unwrap();
    let mut lines = text.lines();
    let command = lines.next().unwrap().trim_start_matches("# ").to_string();
    (command, lines.map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect())
}

#[test]
fn the_app_trains_to_the_bits_of_the_library() {
    let (_, energies) = of_app(20, &["--settings", SMALL]);
    assert_eq!(energies.len(), 20);
    assert_eq!(energies, of_library(20));
}

/// The program `ketformer`, in `KETFORMER_PROGRAM`.
pub fn program() -> Command {
    Command::new(std::env::var_os("KETFORMER_PROGRAM").expect("KETFORMER_PROGRAM is the program"))
}

/// Output of the command line `line` that the app shows, in `folder`.
pub fn run_shown(line: &str, folder: &Path) -> String {
    let words = line.strip_prefix("ketformer ").unwrap().split(' ');
    let run = program().args(words).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// A column of the metrics of a run.
fn column(out: &Path, name: &str) -> Vec<f64> {
    let metrics = std::fs::read_to_string(out.join("metrics.csv")).unwrap();
    let mut lines = metrics.lines();
    let at = lines.next().unwrap().split(',').position(|found| found == name).unwrap();
    lines.map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

#[test]
#[ignore = "needs KETFORMER_PROGRAM"]
fn the_app_trains_to_the_bits_of_the_command_that_it_shows() {
    for gpt in [false, true] {
        let more: &[&str] = if gpt { &["--gpt"] } else { &["--settings", SMALL] };
        let (command, values) = of_app(20, more);
        let folder = tempfile::tempdir().unwrap();
        run_shown(&format!("{command} --out run"), folder.path());
        let name = if gpt { "loss" } else { "energy" };
        assert_eq!(values, column(&folder.path().join("run"), name), "{command}");
    }
}
