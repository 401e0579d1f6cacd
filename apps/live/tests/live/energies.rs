//! The same seed gives the same energies in the app and on the command line.

use std::path::PathBuf;
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

/// Lines of `--energies`: the command of the same run, then a step and its energy in each.
fn of_app(steps: u64) -> (String, Vec<f64>) {
    let steps = steps.to_string();
    let run = Command::new(env!("CARGO_BIN_EXE_ketformer-live"))
        .args(["--energies", "--steps", &steps, "--settings", SMALL])
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
    let (_, energies) = of_app(20);
    assert_eq!(energies.len(), 20);
    assert_eq!(energies, of_library(20));
}

/// Needs the program `ketformer`, in `KETFORMER_PROGRAM`.
#[test]
#[ignore = "needs KETFORMER_PROGRAM"]
fn the_app_trains_to_the_bits_of_the_command_that_it_shows() {
    let (command, energies) = of_app(20);
    let program = PathBuf::from(std::env::var_os("KETFORMER_PROGRAM").expect("KETFORMER_PROGRAM is the program"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let words = command.strip_prefix("ketformer ").unwrap().split(' ');
    let run = Command::new(program).args(words).arg("--out").arg(&out).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let metrics = std::fs::read_to_string(out.join("metrics.csv")).unwrap();
    let mut lines = metrics.lines();
    let column = lines.next().unwrap().split(',').position(|name| name == "energy").unwrap();
    let of_command: Vec<f64> = lines.map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    assert_eq!(energies, of_command);
}
