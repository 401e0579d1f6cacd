//! Signals that stop a run, and checkpoints by time.

#![cfg(unix)]

mod program;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use program::{TINY, metrics, program, refuses, succeeds, wait_until, without_driver};
use tempfile::TempDir;

fn spawn(folder: &Path, line: &str) -> Child {
    program(folder, line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends a signal and returns the output of the program when it ends, with its last line on stderr.
fn ended_by(signal: &str, child: Child) -> (Output, String) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let last = said.lines().last().unwrap_or_default().to_string();
    (output, last)
}

fn has_rows(run: &Path, rows: usize) -> bool {
    fs::read_to_string(run.join("metrics.csv")).is_ok_and(|text| text.lines().count() > rows)
}

/// Step of the newest checkpoint.
fn newest(run: &Path) -> u64 {
    let step = |name: &str| name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok();
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    entries.filter_map(|entry| step(entry.file_name().to_str()?)).max().unwrap_or(0)
}

/// Batch systems such as Slurm announce the end of a job by SIGUSR1 or SIGUSR2.
#[test]
fn signals_of_batch_systems_save_and_stop() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for signal in ["USR1", "USR2", "HUP"] {
        let child = spawn(path, &format!("train steps=1000000 report=1 seed=2 {TINY} --out {signal}"));
        let run = path.join(signal);
        wait_until("a row", || has_rows(&run, 2));
        let (output, said) = ended_by(signal, child);
        assert_eq!(output.status.code(), Some(130), "{signal}: {said}");
        assert!(said.contains("interrupted after step") && said.contains(&format!("--resume {signal}")), "{said}");
        let done = metrics(&run).len() as u64 - 1;
        assert_eq!(newest(&run), done, "{signal}: not saved at the last step");
        let settings = fs::read_to_string(run.join("settings.json")).unwrap();
        assert!(settings.contains("\"cause\": \"interrupted\""), "{settings}");
        succeeds(path, &format!("train --resume {signal} steps={}", done + 3));
        succeeds(path, &format!("train steps={} seed=2 {TINY} --out whole-{signal}", done + 3));
        let model = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
        assert!(model(signal) == model(&format!("whole-{signal}")), "{signal}: other weights");
    }
}

/// A step of minutes is left unfinished, and the run is saved before it.
#[test]
fn a_signal_takes_effect_within_a_step() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = "train L=144 K=16384 steps=2 --ptf patch=2x2 Nh=128 nhead=8 --out run";
    let child = spawn(path, line);
    let run = path.join("run");
    wait_until("the first step", || run.join("settings.json").is_file());
    let (output, said) = ended_by("TERM", child);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted after step 0 of 2: saved in run"), "{said}");
    assert_eq!((metrics(&run).len(), newest(&run)), (1, 0));
}

#[test]
fn checkpoints_are_written_by_time() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let mut child = spawn(path, &format!("train steps=1000000 checkpoint=1s seed=2 {TINY} --quiet --out run"));
    let run = path.join("run");
    wait_until("a second checkpoint by time", || newest(&run) > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let steps = newest(&run) + 5;
    // Any interval gives the same bits.
    succeeds(path, &format!("train --resume run steps={steps} checkpoint=2,30s"));
    succeeds(path, &format!("train steps={steps} seed=2 {TINY} --out whole"));
    let model = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
    assert!(model("run") == model("whole"), "other weights");
    assert_eq!(metrics(&run), metrics(&path.join("whole")));
    let settings: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("settings.json")).unwrap()).unwrap();
    assert_eq!(settings["train"]["checkpoint"], "2,30s");
    let line = format!("train checkpoint=10m {TINY}");
    refuses(path, &line, without_driver(path, &line), 2, &["checkpoint=10m", "10min", "100,10min"]);
}
