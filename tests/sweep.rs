//! `ketformer sweep`: complete, killed and invalid scans.

mod program;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use program::{program, refuses, run, succeeds, wait_until, without_driver};
use tempfile::TempDir;

const SCAN: &str = "L=4 K=64 steps=150 lr=0.01 checkpoint=20 report=1 seed=1 --ptf patch=2x1 Nh=8 nhead=2 num_layers=1 ffn=16 \
                    --rydberg V=2 delta=0:1:0.5";

/// Columns of the density, exact energy and relative error, which are checked when the table is read.
const DENSITY: usize = 5;
const EXACT: usize = 17;
const RELATIVE: usize = 18;

/// Rows of sweep.csv, each with its columns.
fn table(folder: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(folder.join("sweep.csv")).unwrap();
    assert!(text.starts_with("delta,energy,energy_error,energy_per_site,"), "{text}");
    let columns: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let names = [columns[DENSITY], columns[EXACT], columns[RELATIVE]];
    assert_eq!(names, ["density", "exact_energy", "relative_error"]);
    text.lines().skip(1).map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
}

#[test]
fn every_point_is_found_from_the_one_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let ended = succeeds(path, &format!("sweep --samples 500 {SCAN} --out scan"));
    let scan = path.join("scan");
    let rows = table(&scan);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
    for row in &rows {
        let (energy, error, exact) = (row[1], row[2], row[EXACT]);
        assert!((energy - exact).abs() < 0.05 * exact.abs() + 5.0 * error && error > 0.0, "{row:?}");
        assert!(
            (row[RELATIVE] - ((energy - exact) / exact).abs()).abs() < 1e-12 && (row[3] - energy / 4.0).abs() < 1e-12
        );
        assert!(row[DENSITY] > 0.0 && row[DENSITY + 1] > 0.0 && row[7] > 0.0 && row[15] > 0.0, "{row:?}");
    }
    // A larger detuning occupies more sites.
    assert!(rows.windows(2).all(|two| two[0][DENSITY] < two[1][DENSITY]), "{rows:?}");
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);
    assert!(ended.stdout.starts_with("delta 0  energy ") && ended.stdout.contains("relative error"));
    let svg = fs::read_to_string(scan.join("sweep.svg")).unwrap();
    assert!(svg.contains("staggered magnetization") && svg.contains("rydberg 2x2"), "{svg}");
    let settings = |point: &str| fs::read_to_string(scan.join(point).join("settings.json")).unwrap();
    assert!(
        !settings("point-000").contains("--weights") && settings("point-001").contains("point-000/model.safetensors")
    );
    assert!(settings("point-002").contains("\"delta\": 1.0") && settings("point-002").contains("\"steps\": 150"));
    assert!(settings("point-000").contains("\"steps\": 600"));
    // No points remain.
    let before = fs::read(scan.join("sweep.csv")).unwrap();
    assert_eq!(succeeds(path, "sweep --resume scan").stdout, "");
    assert_eq!(fs::read(scan.join("sweep.csv")).unwrap(), before);
}

#[test]
fn a_scan_that_is_killed_goes_on_to_the_same_table() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("sweep --samples 500 {SCAN} --out whole"));
    let line = format!("sweep --samples 500 --tensorboard {SCAN} --out cut");
    let mut child = program(path, &line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // During the second point, after one of its checkpoints.
    let reached = path.join("cut/point-001/checkpoint-000000040.safetensors");
    wait_until("the second point", || reached.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    succeeds(path, "sweep --resume cut");
    assert_eq!(fs::read(path.join("cut/sweep.csv")).unwrap(), fs::read(path.join("whole/sweep.csv")).unwrap());
    // Each point has its own events. The interrupted one has a file for each part.
    let events = |point: &str| fs::read_dir(path.join("cut").join(point).join("tensorboard")).unwrap().count();
    assert_eq!(["point-000", "point-001", "point-002"].map(events), [1, 2, 1]);
}

/// A point that was killed after its metrics file was created and before its settings were written starts again.
#[test]
fn a_point_without_settings_starts_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("sweep --samples 500 {SCAN} --out scan"));
    let [table, point] = ["sweep.csv", "point-002"].map(|name| path.join("scan").join(name));
    let whole = fs::read_to_string(&table).unwrap();
    let without_last: Vec<&str> = whole.lines().take(whole.lines().count() - 1).collect();
    fs::write(&table, without_last.join("\n") + "\n").unwrap();
    let metrics = fs::read_to_string(point.join("metrics.csv")).unwrap();
    fs::remove_dir_all(&point).unwrap();
    fs::create_dir(&point).unwrap();
    fs::write(point.join("metrics.csv"), metrics.lines().next().unwrap().to_string() + "\n").unwrap();
    succeeds(path, "sweep --resume scan");
    assert_eq!(fs::read_to_string(&table).unwrap(), whole);
}

#[test]
fn scans_that_are_none_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for (line, words) in [
        ("sweep --rydberg delta=1", ["0 couplings are ranges", "delta=0:3:0.25"]),
        ("sweep --rydberg delta=0:1:0.5 V=1:2:1", ["2 couplings are ranges", "delta=0:3:0.25"]),
        ("sweep --rydberg delta=0:1", ["0:1", "first:last:step"]),
        ("sweep --rydberg delta=0:1:-1", ["never comes to its end", "first:last:step"]),
        ("sweep --rydberg detla=0:1:1", ["did you mean delta?", "detla"]),
        ("sweep K=1 --rydberg delta=0:1:1", ["K=1", "K=2"]),
        ("sweep --resume nowhere", ["nowhere", "of a sweep"]),
        ("sweep --resume nowhere steps=5", ["--resume alone", "begin a new sweep"]),
    ] {
        refuses(path, line, without_driver(path, line), 2, &words);
    }
    assert_eq!(run(path, "sweep --samples 1 --rydberg delta=0:1:1").code, Some(2));
}
