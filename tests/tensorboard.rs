//! Event files of runs, parsed as TensorBoard does, against the metrics of the same runs.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::{TINY, refuses, succeeds, without_driver};
use prost::Message;
use tempfile::TempDir;

/// `Event` of TensorBoard's event.proto, restricted to the fields that runs write.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Scalars of each step, by name.
type Steps = BTreeMap<i64, BTreeMap<String, f32>>;

/// Steps of every event file of a run, in the order of the file names, and all steps as TensorBoard displays them: the
/// start of a session discards earlier records of its steps.
fn events(run: &Path) -> (Vec<Steps>, Steps) {
    let mut paths: Vec<_> = fs::read_dir(run.join("tensorboard")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut files, mut all) = (Vec::new(), Steps::new());
    for path in paths {
        assert!(path.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."), "{path:?}");
        let bytes = fs::read(path).unwrap();
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        while let Some((length, data)) = rest.split_first_chunk() {
            let length = u64::from_le_bytes(*length) as usize;
            records.push(Event::decode(&data[4..4 + length]).unwrap());
            rest = &data[4 + length + 4..];
        }
        assert_eq!(records[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(records[1].session_log, Some(SessionLog { status: 1 }));
        all.retain(|step, _| *step < records[1].step);
        let mut steps = Steps::new();
        for event in &records[2..] {
            let values = &event.summary.as_ref().unwrap().value;
            let values = values.iter().map(|value| (value.tag.clone(), value.simple_value.unwrap())).collect();
            assert!(steps.insert(event.step, values).is_none(), "step {} twice", event.step);
        }
        all.extend(steps.clone());
        files.push(steps);
    }
    (files, all)
}

/// Asserts that the events are the metrics of the run as f32, without those that are NaN.
fn are_the_metrics(events: &Steps, run: &Path) {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut steps = Vec::new();
    for line in lines {
        let row: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let of = |name: &str| row[header.iter().position(|column| *column == name).unwrap()];
        let step = of("step") as i64;
        let scalars = &events[&step];
        for (tag, expected) in [
            ("energy/per_site", of("energy") / 4.0),
            ("energy/error_per_site", of("energy_error") / 4.0),
            ("energy/variance", of("variance")),
            ("observables/density", of("density")),
            ("observables/sigma_x", of("sigma_x")),
            ("observables/staggered", of("staggered")),
            ("sampling/unique", of("unique")),
            ("sampling/acceptance", of("acceptance")),
            ("training/gradient_norm", of("gradient_norm")),
            ("training/learning_rate", of("learning_rate")),
            ("training/accepted", of("accepted")),
            ("reconfiguration/condition", of("condition")),
            ("reconfiguration/residual", of("residual")),
            ("reconfiguration/lambda", of("lambda")),
            ("reconfiguration/update_norm", of("update_norm")),
            ("time/seconds_per_step", of("seconds")),
        ] {
            let expected = Some(expected as f32).filter(|value| !value.is_nan()).map(f32::to_bits);
            assert_eq!(scalars.get(tag).map(|value| value.to_bits()), expected, "step {step}: {tag}");
        }
        steps.push(step);
    }
    assert_eq!(events.keys().copied().collect::<Vec<_>>(), steps);
}

#[test]
fn events_are_the_metrics_of_the_run() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let kinds = [
        (TINY, ["training/gradient_norm"]),
        ("L=4 K=8 optimizer=sr lambda=0.1 --rbm alpha=1 sweeps=2 burn_in=4", ["reconfiguration/condition"]),
    ];
    for (kind, [expected]) in kinds {
        let ended = succeeds(path, &format!("train steps=7 report=3 seed=2 --tensorboard --json {kind} --out run"));
        let (files, all) = events(&path.join("run"));
        assert_eq!(files.len(), 1);
        are_the_metrics(&all, &path.join("run"));
        assert!(all[&7].contains_key(expected), "{:?}", all[&7]);
        let last: serde_json::Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
        let exact = last["exact"].as_f64().unwrap();
        for step in all.values() {
            let energy = 4.0 * f64::from(step["energy/per_site"]);
            let distance = f64::from(step["energy/relative_error"]) - ((energy - exact) / exact).abs();
            assert!(distance.abs() < 1e-6, "{step:?}");
        }
        fs::remove_dir_all(path.join("run")).unwrap();
    }
    succeeds(path, &format!("train steps=2 seed=2 {TINY} --out run"));
    assert!(!path.join("run/tensorboard").exists(), "written without --tensorboard");
    let line = format!("train steps=2 dir=<NONE> --tensorboard {TINY}");
    refuses(path, &line, without_driver(path, &line), 2, &["--tensorboard", "dir=<NONE>", "keep one"]);
}

#[test]
fn a_run_that_goes_on_repeats_steps_once() {
    let folder = TempDir::new().unwrap();
    let (path, run) = (folder.path(), folder.path().join("run"));
    succeeds(path, &format!("train steps=12 checkpoint=5 seed=2 --tensorboard {TINY} --out run"));
    // Simulates a kill after step 12 and before its checkpoint.
    fs::remove_file(run.join("checkpoint-000000012.safetensors")).unwrap();
    // The run continues its events without --tensorboard.
    succeeds(path, "train --resume run steps=14");
    let (files, all) = events(&run);
    let steps: Vec<Vec<i64>> = files.iter().map(|file| file.keys().copied().collect()).collect();
    assert_eq!(steps, [(1..=12).collect::<Vec<_>>(), (11..=14).collect()]);
    are_the_metrics(&all, &run);
    succeeds(path, "train --resume run steps=15 --tensorboard");
    let (files, all) = events(&run);
    assert_eq!(files.len(), 3);
    are_the_metrics(&all, &run);
}

#[test]
fn a_run_that_goes_on_with_its_first_events_has_all_its_steps() {
    let folder = TempDir::new().unwrap();
    let (path, run) = (folder.path(), folder.path().join("run"));
    succeeds(path, &format!("train steps=3 seed=2 {TINY} --out run"));
    fs::write(run.join("tensorboard"), "mine").unwrap();
    let line = "train --resume run steps=5 --tensorboard";
    // A file in place of the folder is named in the error and is not overwritten.
    let ended = program::run(path, line);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("run/tensorboard") && ended.stderr.contains("; "), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(run.join("tensorboard")).unwrap(), "mine");
    fs::remove_file(run.join("tensorboard")).unwrap();
    succeeds(path, line);
    let (files, all) = events(&run);
    assert_eq!(files.len(), 1);
    are_the_metrics(&all, &run);
}
