//! Damaged files of a run folder, each of which is then evaluated, resumed and reported.
//!
//! Whatever is damaged, a resumed run ends with the weights of the undisturbed run or refuses; every whole row of the
//! metrics remains in some file; settings that are accepted are those of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ketformer::gpu::{Gpu, GpuOptions, TunedVariant, Tuning};
use rand::RngExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::for_each_fault;
use crate::law::lawful;
use crate::mutation::{damaged, random};
use crate::program::{TINY, program, succeeds};

/// A run of 4 steps with checkpoints after steps 2 and 4, its tuning file, and the weights after 6 steps.
struct Original {
    folder: TempDir,
    tuning: PathBuf,
    weights: Vec<u8>,
}

const RUN: &str = "run";
const MODEL: &str = "run/model.safetensors";
const SETTINGS: &str = "run/settings.json";
const METRICS: &str = "run/metrics.csv";
const RESUME: &str = "train --resume run steps=6 --quiet";

static ORIGINAL: LazyLock<Original> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    succeeds(path, &format!("train steps=4 checkpoint=2 seed=5 {TINY} --rydberg V=2 delta=0.5 --quiet --out {RUN}"));
    let undisturbed = TempDir::new().expect("a folder");
    copy(path, undisturbed.path());
    succeeds(undisturbed.path(), RESUME);
    let weights = fs::read(undisturbed.path().join(MODEL)).expect("weights");
    let gpu = Gpu::with_options(&GpuOptions { ignore_tuning: true, ..GpuOptions::default() }).expect("an adapter");
    let tuning = PathBuf::from("cache").join(Tuning::file_name(gpu.info()));
    let mut preferred = Tuning::default();
    let scalar = TunedVariant { variant: "scalar".into(), instead_of: "panel".into(), gain: 1.25 };
    preferred.set("linear_product", "forward 16 x 8, many rows", scalar.clone());
    preferred.set("norm_forward", "8 wide", scalar);
    preferred.save(&path.join(&tuning), gpu.info()).expect("a tuning file");
    Original { folder, tuning, weights }
});

/// Copies the files below `from` into `to`.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("a copy");
        }
    }
}

#[test]
fn damaged_files_are_refused_or_make_no_difference() {
    let original = &*ORIGINAL;
    for_each_fault(24, |fault| {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let path = folder.path();
        copy(original.folder.path(), path);
        let files: [&str; 6] = [
            MODEL,
            SETTINGS,
            METRICS,
            "run/checkpoint-000000004.safetensors",
            "run/checkpoint-000000002.safetensors",
            original.tuning.to_str().expect("a name in ASCII"),
        ];
        let file = files[(fault % 6) as usize];
        let mut random = random(fault);
        let whole = fs::read(path.join(file)).expect("a file");
        if random.random_range(0..20) == 0 {
            fs::remove_file(path.join(file)).expect("a file");
        } else {
            fs::write(path.join(file), damaged(&whole, &mut random)).expect("a file");
        }
        let found = fs::read(path.join(file)).unwrap_or_default();
        check(path, file, &found).map_err(|failure| format!("{file}: {failure}"))
    });
}

/// Evaluates, resumes and reports the run in `folder`, in which `file` is damaged and contains `found`.
fn check(folder: &Path, file: &str, found: &[u8]) -> Result<(), String> {
    let evaluated = lawful(program(folder, "eval run samples=16 --json"))?;
    if evaluated.code == Some(0) {
        serde_json::from_str::<Value>(&evaluated.stdout).map_err(|error| format!("eval: {error}"))?;
    }
    lawful(program(folder, "report run"))?;
    let rows = rows(&fs::read(folder.join(METRICS)).unwrap_or_default());
    let resumed = lawful(program(folder, RESUME))?;
    let kept: BTreeSet<String> = fs::read_dir(folder.join(RUN))
        .map_err(|error| error.to_string())?
        .flat_map(|entry| self::rows(&entry.ok().and_then(|entry| fs::read(entry.path()).ok()).unwrap_or_default()))
        .collect();
    if let Some(lost) = rows.iter().find(|row| !kept.contains(*row)) {
        return Err(format!("the row {lost} is lost, {}", resumed.stderr));
    }
    if resumed.code != Some(0) {
        return Ok(());
    }
    let same = fs::read(folder.join(MODEL)).is_ok_and(|weights| weights == ORIGINAL.weights);
    if file != SETTINGS {
        return if same {
            Ok(())
        } else {
            Err(format!("other weights than those of the undisturbed run, {}", resumed.stderr))
        };
    }
    let asked: Value = serde_json::from_slice(found).map_err(|error| format!("accepted, though {error}"))?;
    let saved: Value = serde_json::from_slice(&fs::read(folder.join(SETTINGS)).map_err(|error| error.to_string())?)
        .map_err(|error| format!("settings that cannot be read: {error}"))?;
    let names = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<BTreeSet<_>>());
    let changed = ["resumptions", "wall_seconds", "ended"];
    for name in names(&asked).unwrap_or_default().iter().filter(|name| !changed.contains(&name.as_str())) {
        let mut asked = asked[name].clone();
        if name == "train" {
            asked["steps"] = 6.into();
        }
        if asked != saved[name] {
            return Err(format!("`{name}` is {} and was {asked}, {}", saved[name], resumed.stderr));
        }
    }
    Ok(())
}

/// Whole rows of metrics of the original run in `bytes`, whatever their line ends, without the seconds, which differ if a
/// step is computed again.
fn rows(bytes: &[u8]) -> BTreeSet<String> {
    let originals = fs::read_to_string(ORIGINAL.folder.path().join(METRICS)).expect("metrics");
    let columns = originals.lines().next().map_or(0, |header| header.split(',').count());
    let whole = |line: &str| {
        let cells: Vec<&str> = line.trim_end_matches('\r').split(',').collect();
        let is_whole = cells.len() == columns && cells[columns - 1].parse::<f64>().is_ok();
        is_whole.then(|| cells[..columns - 1].join(","))
    };
    let found: BTreeSet<String> = String::from_utf8_lossy(bytes).split('\n').filter_map(whole).collect();
    originals.lines().skip(1).filter_map(whole).filter(|row| found.contains(row)).collect()
}
