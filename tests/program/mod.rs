//! Runs the program in tests.

#![allow(dead_code, reason = "not every test uses every item")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Settings of a tiny wave function on a 2x2 lattice, for short runs.
pub const TINY: &str = "L=4 K=8 --ptf patch=2x1 Nh=8 nhead=2 num_layers=1 ffn=16";

/// Exit code and output of the program.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Command that runs the program in `folder` with the words of `line`.
pub fn program(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ketformer"));
    command.args(line.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    // Drivers print errors if the first is not set, which the program must prevent.
    command.env_remove("XDG_RUNTIME_DIR").env_remove("RUST_BACKTRACE");
    // Mesa's software driver computes on one thread, because other tests run at the same time.
    command.env("LP_NUM_THREADS", "0");
    // The user's tuning files are not used.
    command.env("KETFORMER_CACHE", folder.join("cache"));
    command
}

/// [`program`] with every Vulkan driver hidden.
pub fn without_driver(folder: &Path, line: &str) -> Command {
    let mut command = program(folder, line);
    command.env("VK_DRIVER_FILES", "/nonexistent.json").env("VK_ICD_FILENAMES", "/nonexistent.json");
    command.env_remove("VK_ADD_DRIVER_FILES").env_remove("KETFORMER_ADAPTER");
    command
}

pub fn end(mut command: Command) -> Ended {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn run(folder: &Path, line: &str) -> Ended {
    end(program(folder, line))
}

pub fn succeeds(folder: &Path, line: &str) -> Ended {
    let ended = run(folder, line);
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended
}

/// Every file and folder below `folder`, with the contents of the files.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).expect("a file") };
        all.insert(path.display().to_string(), bytes);
        if path.is_dir() {
            all.extend(contents(&path));
        }
    }
    all
}

/// Asserts that `command` fails with `code`, prints one line with all of `words` and a remedy, and leaves `folder`
/// unchanged.
pub fn refuses(folder: &Path, line: &str, command: Command, code: i32, words: &[&str]) {
    let before = contents(folder);
    let ended = end(command);
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(said.len(), 1, "{line}: one line on stderr, not {said:?}");
    assert!(said[0].starts_with("ketformer: ") && !said[0].contains("warning"), "{line}: {}", said[0]);
    assert_eq!(ended.code, Some(code), "{line}: {}", said[0]);
    assert!(said[0].contains(';'), "{line}: a remedy after a semicolon in: {}", said[0]);
    for word in words {
        assert!(said[0].contains(word), "{line}: `{word}` in: {}", said[0]);
    }
    assert_eq!(ended.stdout, "", "{line}");
    assert_eq!(contents(folder), before, "{line}: nothing is left behind");
}

/// Rows of metrics.csv without the last column, the seconds.
pub fn metrics(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    text.lines().map(|line| line.rsplit_once(',').expect("columns").0.to_string()).collect()
}

/// Waits until `done` returns true. Panics after two minutes instead of hanging.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what} never came");
}
