//! `ketformer bench attention --kernel`: kernels of others in processes of their own, each with its status.

mod program;

use std::fs;
use std::path::Path;

use program::{end, program};
use tempfile::TempDir;

fn example(name: &str) -> String {
    format!("{}/examples/kernels/{name}.wgsl", env!("CARGO_MANIFEST_DIR"))
}

/// Rows that `bench attention` with these words writes, and its exit code.
fn rows(folder: &Path, words: &str, threads: &str) -> (Vec<serde_json::Value>, Option<i32>) {
    let line = format!("bench attention {words} --runs 3 --min-time 0 --quiet --json rows.json");
    let mut command = program(folder, &line);
    command.env("LP_NUM_THREADS", threads);
    let ended = end(command);
    assert!(folder.join("rows.json").is_file(), "{line}: {}", ended.stderr);
    let text = fs::read_to_string(folder.join("rows.json")).unwrap();
    fs::remove_file(folder.join("rows.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    (json["rows"].as_array().unwrap().clone(), ended.code)
}

#[test]
fn every_kernel_gets_its_row_whatever_the_others_do() {
    let folder = TempDir::new().unwrap();
    // Drivers of CPUs end long loops. A grid without end is beyond them.
    let never_ends = fs::read_to_string(example("never_ends")).unwrap();
    let grid = "// grid: 65535, 65535, 1";
    let endless = never_ends.replace("// grid: (S + 63) / 64, H, B", grid).replace("if (id.x >= S) { return; }", "");
    assert!(endless.contains(grid) && !endless.contains("return"));
    fs::write(folder.path().join("endless.wgsl"), endless).unwrap();
    let expected = [
        ("skips_last_key", "INCORRECT_NUMERICAL"),
        ("endless", "TIMEOUT"),
        ("cached", "INCORRECT_NUMERICAL"),
        ("modifies_input", "MODIFIED_INPUT"),
        ("never_ends", "TIMEOUT"),
        ("does_not_compile", "COMPILE_ERROR"),
        ("naive", "PASSED"),
        ("flash_tiled", "PASSED"),
    ];
    let file = |name: &str| if name == "endless" { "endless.wgsl".into() } else { example(name) };
    let kernels: Vec<String> = expected.iter().map(|(name, _)| format!("--kernel {}", file(name))).collect();
    let words = format!("{} --shape 1x2x8x4 --pass forward --timeout 4", kernels.join(" "));
    let (rows, code) = rows(folder.path(), &words, "0");
    assert_eq!(code, Some(1), "some failed");
    let statuses: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["kernel"].as_str().unwrap(), row["status"].as_str().unwrap())).collect();
    assert_eq!(statuses[..expected.len()], expected);
    assert_eq!(statuses[expected.len()..], [("ketformer rows", "PASSED"), ("ketformer", "PASSED")]);
    for row in &rows {
        let passed = row["status"] == "PASSED";
        assert_eq!((row["median_ms"].is_f64(), row["error"].is_null()), (passed, passed), "{row}");
        let is_ours = row["kernel"].as_str().unwrap().starts_with("ketformer");
        assert_eq!(row["sha256"].as_str().map(str::len), (!is_ours).then_some(64), "{row}");
    }
}

#[test]
fn a_kernel_that_races_is_right_but_not_deterministic() {
    let folder = TempDir::new().unwrap();
    let words = format!("--kernel {} --shape 1x4x256x8 --mask full --pass forward", example("races"));
    let (rows, code) = rows(folder.path(), &words, "2");
    assert_eq!((&rows[0]["status"], code), (&"PASSED".into(), Some(0)), "{}", rows[0]);
    for row in rows {
        assert_eq!(row["deterministic"], row["kernel"] != "races", "{row}");
    }
}
