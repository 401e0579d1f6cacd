//! Resuming of runs that were killed, damaged or out of disk space.

mod program;

use std::fs;
#[cfg(target_os = "linux")]
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ketformer::model::Weights;
use program::{TINY, contents, end, metrics, program, refuses, run, succeeds, wait_until};
use tempfile::TempDir;

/// Wave functions and optimizers with different states: moments, or a direction and Markov chains.
const KINDS: [&str; 2] = [
    TINY,
    "L=4 K=8 temperature=1 temperature_steps=40 optimizer=sr momentum=0.9 lambda=0.1 clip=0.1 --rbm alpha=1 sweeps=2 burn_in=4",
];

/// Paths of the checkpoints of a run, oldest first.
fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(run) else { return Vec::new() };
    let own = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with("checkpoint-"));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(own).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    found.sort();
    found
}

/// Step of a checkpoint.
fn step(path: &Path) -> u64 {
    let name = path.file_stem().unwrap().to_str().unwrap();
    name.strip_prefix("checkpoint-").unwrap().parse().unwrap()
}

fn spawn(folder: &Path, line: &str) -> Child {
    program(folder, line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    for kind in KINDS {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let line = |steps: u64| format!("train steps={steps} checkpoint=7 seed=2 {kind}");
        let cut = path.join("cut");
        let mut child = spawn(path, &format!("{} --out cut", line(1_000_000)));
        wait_until("the first checkpoint", || cut.join("settings.json").is_file());
        for kill in 0..10 {
            // After a different delay each time, from before the first step to many checkpoints later.
            std::thread::sleep(Duration::from_millis(40 + 397 * kill % 700));
            assert!(child.try_wait().unwrap().is_none(), "{kind}: the program ended by itself");
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(!checkpoints(&cut).is_empty());
            child = spawn(path, "train --resume cut");
        }
        wait_until("a step after all that", || step(checkpoints(&cut).last().unwrap()) > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        let steps = step(checkpoints(&cut).last().unwrap()) + 25;
        succeeds(path, &format!("train --resume cut steps={steps}"));
        succeeds(path, &format!("{} --out whole", line(steps)));
        let model = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
        assert!(model("cut") == model("whole"), "{kind}: other weights");
        assert_eq!(metrics(&cut), metrics(&path.join("whole")), "{kind}");
        assert_eq!(checkpoints(&cut).len(), 2);
        let last = |run: &str| fs::read(checkpoints(&path.join(run)).pop().unwrap()).unwrap();
        assert!(last("cut") == last("whole"), "{kind}: another checkpoint");
    }
}

#[test]
fn damaged_checkpoints_fall_back_or_are_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=6 checkpoint=3 seed=2 {TINY} --out run"));
    let expected = succeeds(path, "train --resume run steps=9 report=1").stdout;
    let run_folder = path.join("run");
    let model = fs::read(run_folder.join("model.safetensors")).unwrap();
    let [before, last] = checkpoints(&run_folder).try_into().unwrap();
    let whole = fs::read(&last).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() - 9] ^= 4;
    for damaged in [&whole[..whole.len() / 2], &flipped, &[]] {
        fs::write(&last, damaged).unwrap();
        fs::remove_file(run_folder.join("model.safetensors")).unwrap();
        let ended = succeeds(path, "train --resume run steps=9");
        let warned = ended.stderr.lines().any(|line| {
            line.contains("warning") && line.contains("checkpoint-000000009") && line.contains("checkpoint of step 6")
        });
        assert!(warned, "{}", ended.stderr);
        assert_eq!(ended.stdout, expected);
        assert!(fs::read(run_folder.join("model.safetensors")).unwrap() == model);
        assert!(fs::read(&last).unwrap() == whole);
    }
    fs::write(&before, &whole[..100]).unwrap();
    fs::write(&last, []).unwrap();
    let line = "train --resume run steps=9";
    refuses(path, line, program(path, line), 1, &["no checkpoint", "is whole", "begin a new run"]);
}

#[test]
fn a_run_goes_on_for_longer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=12 checkpoint=5 seed=2 {TINY} --out whole"));
    succeeds(path, &format!("train steps=5 checkpoint=5 seed=2 {TINY} --out parts"));
    let settings = || -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(path.join("parts/settings.json")).unwrap()).unwrap()
    };
    let before = settings();
    // Settings that equal those of the run are accepted.
    succeeds(path, "train --resume parts steps=12 L=4 report=3 seed=2");
    let model = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
    assert!(model("parts") == model("whole"));
    assert_eq!(metrics(&path.join("parts")), metrics(&path.join("whole")));
    let settings = settings();
    let seconds = [&before, &settings].map(|settings| settings["wall_seconds"].as_f64().unwrap());
    assert!(0.0 < seconds[0] && seconds[0] < seconds[1], "{seconds:?}");
    assert!(settings["started"].as_str().unwrap().ends_with('Z') && settings["started"] == before["started"]);
    assert_eq!(settings["resumptions"][0]["changes"], serde_json::json!(["steps=12", "report=3"]));
    assert_eq!((&settings["train"]["steps"], &settings["resumptions"][0]["step"]), (&12.into(), &5.into()));
    // A different learning rate from here on.
    succeeds(path, "train --resume parts steps=14 lr=0.1");
    let rows = metrics(&path.join("parts"));
    assert!(rows[14].contains(",0.1,1,") && !rows[12].contains(",0.1,1,"), "{rows:?}");
}

#[test]
fn what_cannot_go_on_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=3 seed=2 {TINY} --out run"));
    for (line, code, words) in [
        ("train --resume run", 2, ["all its 3 steps", "steps=6"]),
        ("train --resume run steps=2", 2, ["all its 2 steps", "steps=6"]),
        ("train --resume run steps=9 K=16", 2, ["K=16 would be another run than that of K=8", "steps, lr"]),
        ("train --resume run steps=9 seed=3", 2, ["seed=3", "leave seed out"]),
        ("train --resume run steps=9 optimizer=sr", 2, ["optimizer=sr", "--weights"]),
        ("train --resume run steps=9 lr=0", 2, ["lr=0", "above 0"]),
        ("train --resume run steps=9 --ptf Nh=16", 2, ["leave them out", "wave function"]),
        ("train --resume run steps=9 --weights run/model.safetensors", 2, ["its own weights", "--weights"]),
        ("train --resume run steps=9 --out other", 2, ["its own folder", "--out"]),
        ("train --resume nowhere", 1, ["nowhere", "out/1"]),
    ] {
        refuses(path, line, program(path, line), code, &words);
    }
    let held = fs::File::create(path.join("run/lock")).unwrap();
    held.lock().unwrap();
    let line = "train --resume run steps=9";
    refuses(path, line, program(path, line), 1, &["going on", "wait for its end"]);
    drop(held);
    succeeds(path, line);
    checkpoints(&path.join("run")).iter().for_each(|path| fs::remove_file(path).unwrap());
    let line = "train --resume run steps=19";
    refuses(path, line, program(path, line), 2, &["no checkpoint", "begin a new run"]);
}

/// A limit on the size of files simulates a full disk.
#[test]
fn a_full_disk_is_an_error_and_leaves_the_checkpoint_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let limited = |kib: u64, line: &str| {
        let mut command = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_ketformer");
        let script = format!("ulimit -f {kib} && exec {program} {line}");
        command.args(["-c", &script]).current_dir(path).stdin(Stdio::null()).env_remove("XDG_RUNTIME_DIR");
        command.env("KETFORMER_CACHE", path.join("cache"));
        command.env("MESA_SHADER_CACHE_DISABLE", "true");
        command
    };
    // Mesa 23 and later allocate device memory as files: under this limit the driver ends the process by SIGBUS.
    #[cfg(target_os = "linux")]
    if limited(1, &format!("train steps=1 {TINY} --out none")).status().unwrap().signal() == Some(7) {
        println!("not tested: this driver allocates memory as files, so that their size cannot be limited");
        return;
    }
    // Not even the first checkpoint fits: nothing is left behind.
    for more in ["", "--tensorboard"] {
        let line = format!("train steps=50 {more} {TINY} --out none");
        refuses(path, &line, limited(1, &line), 1, &["cannot write", "free space"]);
    }
    // The metrics do not fit.
    let line = format!("train steps=100000 report=1 checkpoint=20 seed=2 {TINY} --out run");
    let ended = end(limited(40, &line));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let said = ended.stderr.lines().last().unwrap();
    for word in ["cannot write", "metrics.csv", "free space", "`ketformer train --resume run` resumes from there"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let saved = step(checkpoints(&path.join("run")).last().unwrap());
    assert!(saved > 20 && said.contains(&format!("after step {saved}")), "{said}");
    assert!(!contents(path).keys().any(|name| name.ends_with(".part")), "a part is left");
    // With enough space it resumes, to the result of an undisturbed run.
    let steps = saved + 30;
    succeeds(path, &format!("train --resume run steps={steps}"));
    succeeds(path, &format!("train steps={steps} checkpoint=20 seed=2 {TINY} --out whole"));
    assert_eq!(metrics(&path.join("run")), metrics(&path.join("whole")));
}

#[test]
fn a_run_that_diverges_gives_up_with_its_last_good_state() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=1 seed=2 {TINY} --out good"));
    let mut weights = Weights::load(path.join("good/model.safetensors")).unwrap();
    weights.tensors.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value *= 1e30);
    weights.save(path.join("huge.safetensors")).unwrap();
    let line = format!("train steps=100 max_rejected_steps=4 seed=2 {TINY} --out run --weights huge.safetensors");
    let ended = run(path, &line);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let said = ended.stderr.lines().last().unwrap();
    assert!(said.contains("steps in a row") && said.contains("smaller lr=") && said.contains("--resume run"), "{said}");
    let rejected = metrics(&path.join("run")).iter().filter(|row| row.contains(",0,NaN,")).count();
    assert!((4..=6).contains(&rejected), "{rejected} steps, one or two of them were under way");
    assert!(Weights::load(path.join("run/model.safetensors")).unwrap() == weights, "a rejected step moved weights");
}

/// Samples are drawn from the weights file of a run, or from its newest checkpoint if there is no weights file.
#[test]
fn samples_are_drawn_into_a_file_for_numpy() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=3 seed=2 {TINY} --out run"));
    let said = succeeds(path, "sample run -n 500 -o spins.npy").stdout;
    assert!(said.contains("uint8 (500, 4)") && said.contains("spins.log_p.npy"), "{said}");
    let spins = fs::read(path.join("spins.npy")).unwrap();
    let array = npyz::NpyFile::new(&spins[..]).unwrap();
    assert_eq!(array.shape(), [500, 4]);
    let spins = array.into_vec::<u8>().unwrap();
    assert!(spins.iter().all(|spin| *spin < 2));
    let log_p = fs::read(path.join("spins.log_p.npy")).unwrap();
    let log_p = npyz::NpyFile::new(&log_p[..]).unwrap().into_vec::<f64>().unwrap();
    // Each configuration has one probability, and they add up to at most 1.
    let drawn: std::collections::BTreeMap<&[u8], f64> = spins.chunks(4).zip(log_p).collect();
    let total: f64 = drawn.values().map(|log_p| log_p.exp()).sum();
    assert!(drawn.len() > 8 && total > 0.5 && total < 1.0 + 1e-5, "{total} of {}", drawn.len());
    // Fewer samples of the same seed are the first ones; another seed gives other samples.
    succeeds(path, "sample run -n 20 -o few.npy");
    assert!(fs::read(path.join("few.npy")).unwrap().ends_with(&spins[..80]));
    succeeds(path, "sample run -n 20 -o other.npy seed=2");
    assert!(!fs::read(path.join("other.npy")).unwrap().ends_with(&spins[..80]));
    // Without the weights file, the newest checkpoint is used.
    fs::remove_file(path.join("run/model.safetensors")).unwrap();
    succeeds(path, "sample run -n 20 -o again.npy");
    assert_eq!(fs::read(path.join("again.npy")).unwrap(), fs::read(path.join("few.npy")).unwrap());
    let line = "sample run -n 0 -o none.npy";
    assert_eq!(run(path, line).code, Some(2));
    let line = "sample run -n 5 -o no/such/spins.npy";
    refuses(path, line, program(path, line), 1, &["no/such/spins.npy", "another folder"]);
    let line = "sample -n 5 -o spins.npy";
    refuses(path, line, program(path, line), 2, &["nothing to draw from", "run folder"]);
}
