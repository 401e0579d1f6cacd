//! Run folders with damaged, foreign, old or missing files.

mod program;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use program::{TINY, contents, end, metrics, program, refuses, run, succeeds, wait_until, without_driver};
use tempfile::TempDir;

/// Runs `steps` steps in the folder `name`.
fn trained(path: &Path, steps: u64, name: &str) {
    succeeds(path, &format!("train steps={steps} checkpoint=3 seed=2 {TINY} --out {name}"));
}

/// Copies the files of a folder.
fn copy(path: &Path, from: &str, to: &str) {
    fs::create_dir(path.join(to)).unwrap();
    for entry in fs::read_dir(path.join(from)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), path.join(to).join(entry.file_name())).unwrap();
    }
}

#[test]
fn metrics_that_were_edited_lose_no_row() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    trained(path, 6, "six");
    trained(path, 9, "nine");
    let text = fs::read_to_string(path.join("six/metrics.csv")).unwrap();
    let expected = metrics(&path.join("nine"));
    let lines: Vec<&str> = text.lines().collect();
    let without_second = |line: &&str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.remove(2);
        cells.join(",")
    };
    let with = |line: (usize, &&str)| line.1.to_string() + if line.0 == 0 { ",color" } else { ",3" };
    let crlf = text.replace('\n', "\r\n");
    let damaged = text.replacen(&lines[2][..5], "2,#!-", 1);
    let older = lines.iter().map(without_second).collect::<Vec<_>>().join("\n") + "\n";
    let newer = lines.iter().enumerate().map(with).collect::<Vec<_>>().join("\n") + "\n";
    for (name, edited, said) in [
        ("crlf", &crlf, None),
        ("unterminated", &text.trim_end().to_string(), None),
        ("damaged", &damaged, Some("line 3 is damaged")),
        ("older", &older, Some("column energy_error is missing")),
        ("newer", &newer, Some("column color is unknown")),
    ] {
        copy(path, "six", name);
        let run_folder = path.join(name);
        fs::write(run_folder.join("metrics.csv"), edited).unwrap();
        let ended = succeeds(path, &format!("train --resume {name} steps=9"));
        let copied = run_folder.join("metrics.old-1.csv");
        let rows = metrics(&run_folder);
        match said {
            None => {
                assert!(!ended.stderr.contains("metrics.csv") && !copied.exists(), "{name}: {}", ended.stderr);
                assert_eq!(rows, expected, "{name}");
            }
            Some(said) => {
                assert!(ended.stderr.contains(said) && ended.stderr.contains("metrics.old-1.csv"), "{}", ended.stderr);
                assert_eq!(fs::read_to_string(copied).unwrap(), *edited, "{name}");
                assert_eq!(rows.len(), if name == "damaged" { 9 } else { 10 }, "{name}");
                // All other values are kept.
                assert_eq!((&rows[0], &rows[9 - usize::from(name == "damaged")]), (&expected[0], &expected[9]));
                assert!(rows[1].starts_with(&expected[1][..5]), "{name}: {}", rows[1]);
            }
        }
        assert!(
            fs::read(run_folder.join("model.safetensors")).unwrap()
                == fs::read(path.join("nine/model.safetensors")).unwrap()
        );
    }
}

#[test]
fn settings_are_checked_as_a_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=2 seed=2 {TINY} --tfim h=2 --out run"));
    let file = path.join("run/settings.json");
    let whole = fs::read_to_string(&file).unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    for (old, new, words) in [
        (version.as_str(), "\"version\": \"99.0.0\"", ["99.0.0", "use that version"]),
        ("\"tfim\"", "\"ising\"", ["unknown group `ising`", "restore it"]),
        ("\"ptf\"", "\"transformer\"", ["unknown group `transformer`", "restore it"]),
        ("\"h\": 2.0", "\"g\": 2.0", ["unknown key g", "restore it"]),
        ("\"h\": 2.0", "\"h\": 3.0", ["h = 3.0", "2.0"]),
        ("\"h\": 2.0", "\"h\": \"2\"", ["h = \"2\"", "another type"]),
        ("\"h\": 2.0", "\"h\": [2]", ["h=[2]", "restore it"]),
        ("\"h\": 2.0,", "", ["lacks h = 2.0", "restore it"]),
        ("\"Nh\": 8", "\"Nh\": true", ["Nh=true", "restore it"]),
        ("\"seed\": 2", "\"seed\": \"two\"", ["`seed`", "restore it"]),
        ("\"lr\": 0.0005", "\"lr\": 0.5", ["lr = 0.5", "0.0005"]),
        ("\"tfim\": {", "\"xxz\": {}, \"tfim\": {", ["more than one Hamiltonian", "restore it"]),
        ("\"tfim\": {", "\"color\": 3, \"tfim\": {", ["`color` is unknown", "restore it"]),
        ("ketformer train", "ketformer xtrain", ["command", "restore it"]),
    ] {
        assert!(whole.contains(old), "{old}");
        fs::write(&file, whole.replacen(old, new, 1)).unwrap();
        for command in ["eval run", "sample run -n 5 -o x.npy", "report run", "train --resume run steps=9"] {
            refuses(path, command, without_driver(path, command), 1, &words);
        }
    }
    // No group of a Hamiltonian at all.
    let mut value: serde_json::Value = serde_json::from_str(&whole).unwrap();
    value.as_object_mut().unwrap().remove("tfim");
    fs::write(&file, value.to_string()).unwrap();
    refuses(path, "eval run", without_driver(path, "eval run"), 1, &["names no Hamiltonian"]);
    fs::write(&file, whole).unwrap();
    succeeds(path, "train --resume run steps=4 lr=0.01");
    succeeds(path, "train --resume run steps=5");
    assert_eq!(succeeds(path, "eval run samples=64").stderr.lines().count(), 0);
}

/// A program that is killed between a checkpoint and the weights file leaves old weights.
#[test]
fn the_newest_weights_are_used_and_a_finished_run_is_completed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    trained(path, 6, "run");
    let file = |name: &str| path.join("run").join(name);
    let expected = succeeds(path, "eval run samples=64").stdout;
    let old = fs::read(file("model.safetensors")).unwrap();
    let picture = fs::read(file("energy.svg")).unwrap();
    succeeds(path, "train --resume run steps=9");
    let newest = succeeds(path, "eval run samples=64").stdout;
    let model = fs::read(file("model.safetensors")).unwrap();
    let array = fs::read(file("metrics.npy")).unwrap();
    assert_ne!(expected, newest);
    // As the program leaves it if it is killed after its last checkpoint.
    let mut settings: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file("settings.json")).unwrap()).unwrap();
    settings.as_object_mut().unwrap().remove("ended");
    fs::write(file("settings.json"), settings.to_string()).unwrap();
    fs::write(file("model.safetensors"), &old).unwrap();
    fs::write(file("energy.svg"), &picture).unwrap();
    fs::remove_file(file("metrics.npy")).unwrap();
    let group = TINY.split_once("--ptf").unwrap().1;
    for line in ["eval run samples=64".to_string(), format!("eval --weights run samples=64 --ptf L=4 {group}")] {
        let ended = succeeds(path, &line);
        assert_eq!(ended.stdout, newest, "{line}");
        assert!(
            ended.stderr.contains("older than the newest checkpoint; the weights of the checkpoint of step 9"),
            "{line}"
        );
    }
    succeeds(path, "report run samples=64 runs=0 --quiet -o page.html");
    let page = fs::read_to_string(path.join("page.html")).unwrap();
    assert!(
        page.contains("of the weights after step 9; no end of the run is recorded") && !page.contains("final weights")
    );
    succeeds(path, "sample run -n 50 -o old.npy");
    succeeds(path, &format!("train steps=1 seed=3 {TINY} --weights run --out a"));
    let ended = succeeds(path, "train --resume run");
    assert!(ended.stderr.contains("saved in run"), "{}", ended.stderr);
    assert!(fs::read(file("model.safetensors")).unwrap() == model && fs::read(file("metrics.npy")).unwrap() == array);
    assert_ne!(fs::read(file("energy.svg")).unwrap(), picture);
    succeeds(path, "sample run -n 50 -o new.npy");
    assert_eq!(fs::read(path.join("old.npy")).unwrap(), fs::read(path.join("new.npy")).unwrap());
    succeeds(path, &format!("train steps=1 seed=3 {TINY} --weights run/model.safetensors --out b"));
    let of = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
    assert!(of("a") == of("b"));
    let line = "train --resume run";
    refuses(path, line, program(path, line), 2, &["has done all its 9 steps", "steps=18"]);
    succeeds(path, "report run samples=64 runs=0 --quiet -o page.html");
    assert!(fs::read_to_string(path.join("page.html")).unwrap().contains("of the final weights"));
}

#[test]
fn a_folder_of_a_killed_start_can_be_used_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    trained(path, 2, "whole");
    fs::create_dir(path.join("run")).unwrap();
    fs::write(path.join("run/lock"), "").unwrap();
    let line = "train --resume run";
    refuses(path, line, without_driver(path, line), 2, &["killed before its first step", "--out run"]);
    fs::write(path.join("run/settings.json.part"), "{").unwrap();
    fs::copy(path.join("whole/checkpoint-000000000.safetensors"), path.join("run/checkpoint-000000000.safetensors"))
        .unwrap();
    let header = fs::read_to_string(path.join("whole/metrics.csv")).unwrap().lines().next().unwrap().to_string();
    fs::write(path.join("run/metrics.csv"), header + "\n").unwrap();
    trained(path, 2, "run");
    assert_eq!(metrics(&path.join("run")), metrics(&path.join("whole")));
    assert_eq!(contents(&path.join("run")).len(), contents(&path.join("whole")).len());
    // Any other file is somebody's.
    fs::create_dir(path.join("mine")).unwrap();
    fs::write(path.join("mine/lock"), "").unwrap();
    fs::write(path.join("mine/notes.txt"), "").unwrap();
    let line = format!("train steps=1 {TINY} --out mine");
    refuses(path, &line, without_driver(path, &line), 1, &["not empty", "another --out"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_disappears_during_a_run_is_an_error() {
    for replaced in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let line = format!("train steps=1000000 report=1 checkpoint=50 {TINY} --out run");
        let child = program(path, &line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("a row", || {
            fs::read_to_string(path.join("run/metrics.csv")).is_ok_and(|text| text.lines().count() > 3)
        });
        fs::rename(path.join("run"), path.join("moved")).unwrap();
        if replaced {
            fs::create_dir(path.join("run")).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap();
        let what = if replaced { "replaced by another one" } else { "deleted or moved" };
        assert!(last.contains("run folder: run was") && last.contains(what), "{last}");
        assert!(!said.contains("saved") && !last.contains("--resume"), "{said}");
        if replaced {
            assert_eq!(contents(&path.join("run")).len(), 0, "files in a folder of somebody else");
        }
        // What was written before is intact.
        let done = metrics(&path.join("moved")).len();
        succeeds(path, &format!("train --resume moved steps={done}"));
    }
}

#[cfg(unix)]
#[test]
fn metrics_that_are_replaced_during_a_run_are_restored() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = format!("train steps=400 report=1 seed=2 {TINY} --out run");
    let child = program(path, &line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let file = path.join("run/metrics.csv");
    wait_until("a row", || fs::read_to_string(&file).is_ok_and(|text| text.lines().count() > 3));
    // As an editor saves a file.
    fs::write(path.join("run/edited"), "mine").unwrap();
    fs::rename(path.join("run/edited"), &file).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("metrics.csv was deleted or replaced"), "{said}");
    assert_eq!(metrics(&path.join("run")).len(), 401);
    assert_eq!(fs::read_to_string(path.join("run/metrics.old-1.csv")).unwrap(), "mine");
}

#[test]
fn a_report_of_a_run_in_progress_says_of_which_step() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = format!("train steps=1000000 report=1 checkpoint=1000000 {TINY} --out run");
    let mut child = program(path, &line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("a row", || fs::read_to_string(path.join("run/metrics.csv")).is_ok_and(|text| text.lines().count() > 3));
    let ended = run(path, "report run samples=64 runs=0 -o page.html");
    let evaluated = run(path, "eval run samples=64");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((ended.code, evaluated.code), (Some(0), Some(0)), "{} {}", ended.stderr, evaluated.stderr);
    let said = "the initial weights of a run in progress";
    assert!(ended.stderr.contains(said) && evaluated.stderr.contains(said), "{} {}", ended.stderr, evaluated.stderr);
    let page = fs::read_to_string(path.join("page.html")).unwrap();
    assert!(page.contains(&format!("of {said}")) && !page.contains("final weights"), "{said}");
    // Nobody interrupted it.
    let ended = end(program(path, "eval run samples=64"));
    assert!(ended.stderr.contains("the initial weights; no end of the run is recorded"), "{}", ended.stderr);
}
