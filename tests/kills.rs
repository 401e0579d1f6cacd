//! Runs that are killed at random moments, from their start to their last file, and resumed. `KETFORMER_KILLS` sets the
//! number of kills.

mod program;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ketformer::kernels::RandomInputs;
use ketformer::run::{load_metrics, newest_weights};
use ketformer::vmc::StepReport;
use program::{TINY, contents, metrics, program, succeeds};
use tempfile::TempDir;

/// Settings with different states: moments, or a direction and Markov chains.
const KINDS: [&str; 2] =
    [TINY, "L=4 K=8 optimizer=sr momentum=0.9 lambda=0.1 clip=0.1 --rbm alpha=1 sweeps=2 burn_in=4"];
const STEPS: usize = 120;

/// Whether the end of the run is recorded as complete. A program that is killed between this record and its exit leaves a
/// run that cannot be resumed.
fn is_recorded(run: &Path) -> bool {
    fs::read_to_string(run.join("settings.json")).is_ok_and(|text| text.contains("\"cause\": \"completed\""))
}

/// Runs the program for a time and kills it. Returns whether it ended before, in which case it must have succeeded.
fn killed_after(folder: &Path, line: &str, time: Duration) -> bool {
    let mut child = program(folder, line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The moment of the kill is what is tested.
    std::thread::sleep(time);
    match child.try_wait().unwrap() {
        Some(status) => {
            assert!(status.success(), "{line}: {status}");
            true
        }
        None => {
            child.kill().unwrap();
            child.wait().unwrap();
            false
        }
    }
}

#[test]
fn runs_that_are_killed_at_random_moments_end_as_undisturbed_ones() {
    let all: u64 = std::env::var("KETFORMER_KILLS").map_or(4, |number| number.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let lines = KINDS.map(|kind| format!("train steps={STEPS} checkpoint=7 report=3 seed=2 {kind}"));
    let times = [0, 1].map(|kind: usize| {
        // The driver keeps the kernels that the first run compiles.
        succeeds(path, &format!("train steps=1 {} --out first-{kind}", KINDS[kind]));
        let begun = Instant::now();
        succeeds(path, &format!("{} --out whole-{kind}", lines[kind]));
        begun.elapsed().as_millis() as u32
    });
    let (mut random, mut kills) = (RandomInputs::new(11), 0);
    for round in 0.. {
        if kills == all {
            break;
        }
        let kind = round % KINDS.len();
        let name = format!("run-{round}");
        let run = path.join(&name);
        let begin = format!("{} --out {name}", lines[kind]);
        let resume = format!("train --resume {name}");
        while !is_recorded(&run) && kills < all {
            let line = if run.join("settings.json").is_file() { &resume } else { &begin };
            let has_ended = killed_after(path, line, Duration::from_millis(random.integers(1, times[kind])[0].into()));
            kills += u64::from(!has_ended);
            if run.join("settings.json").is_file() {
                let newest = newest_weights(&run).unwrap();
                assert!(newest.step.is_some(), "{newest:?}");
                let loaded = load_metrics::<StepReport>(&run.join("metrics.csv")).unwrap();
                assert_eq!(loaded.damage, None, "{name}");
            }
        }
        if !is_recorded(&run) {
            let line = if run.join("settings.json").is_file() { &resume } else { &begin };
            let ended = succeeds(path, line);
            assert!(!ended.stderr.contains("metrics.csv"), "{}", ended.stderr);
        }
        let whole = path.join(format!("whole-{kind}"));
        let last = format!("checkpoint-{STEPS:09}.safetensors");
        for file in ["model.safetensors", &last] {
            assert!(fs::read(run.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(), "{name}: {file}");
        }
        let rows = metrics(&run);
        assert_eq!(rows.len(), STEPS + 1);
        assert_eq!(rows, metrics(&whole), "{name}");
        let names = |run: &Path| {
            let name = |path: String| path.rsplit('/').next().unwrap().to_string();
            // The file stays if the program was killed after the end of the run, but is not locked.
            contents(run).into_keys().map(name).filter(|name| name != "lock").collect::<Vec<_>>()
        };
        assert_eq!(names(&run), names(&whole), "{name}: other files");
    }
}
