//! Output of the program: lines on stdout that cannot be written, and output files that are devices, pipes or links.

#![cfg(target_os = "linux")]

mod program;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use program::{TINY, end, program, refuses, succeeds};
use tempfile::TempDir;

/// A folder with a trained wave function in `run`.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    succeeds(folder.path(), &format!("train steps=1 {TINY} --rydberg V=2 --out run"));
    folder
}

/// Command lines that print on stdout, without and with a GPU.
const PRINTING: [&str; 20] = [
    "help",
    "help ptf",
    "help eval",
    "--help",
    "--version",
    "train --help",
    "exact --help",
    "kernels",
    "kernels norm_forward",
    "devices",
    "doctor --gpu m2",
    "exact --tfim L=4",
    "eval run samples=64",
    "eval run samples=64 --json",
    "sample run -n 4 -o spins.npy",
    "report run samples=64 runs=0 -o page.html",
    "bench norm --shape 4x8 --runs 1 --warmup 0 --quiet",
    "train steps=1 TINY --out a",
    "train steps=1 TINY --json --out b",
    "sweep steps=1 TINY --rydberg V=1:2:1 --samples 16 --out c",
];

/// Runs every line of [`PRINTING`] with the stdout that `stdout` opens. `check` gets the line, the exit code and stderr.
fn with_stdout(stdout: impl Fn() -> Stdio, check: impl Fn(&str, Option<i32>, &str)) {
    let folder = folder();
    for line in PRINTING {
        let line = line.replace("TINY", TINY);
        let mut command = program(folder.path(), &line);
        command.stdout(stdout()).stderr(Stdio::piped());
        let output = command.spawn().and_then(|child| child.wait_with_output()).unwrap();
        check(&line, output.status.code(), &String::from_utf8(output.stderr).unwrap());
    }
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let full = || File::options().write(true).open("/dev/full").unwrap().into();
    with_stdout(full, |line, code, stderr| {
        assert_eq!(code, Some(1), "{line}: {stderr}");
        let said: Vec<&str> = stderr.lines().filter(|line| line.contains("stdout")).collect();
        let [said] = said[..] else { panic!("{line}: one line about stdout in {stderr}") };
        assert!(
            said.starts_with("ketformer: stdout: cannot write") && said.contains("No space left"),
            "{line}: {said}"
        );
    });
}

#[test]
fn a_closed_pipe_behind_stdout_is_no_error() {
    let closed = || std::io::pipe().unwrap().1.into();
    with_stdout(closed, |line, code, stderr| {
        assert_eq!(code, Some(0), "{line}: {stderr}");
        assert!(!stderr.contains("stdout") && !stderr.contains("Broken pipe"), "{line}: {stderr}");
    });
}

#[test]
fn outputs_are_written_through_streams_and_links() {
    let folder = folder();
    let path = folder.path();
    succeeds(path, "sample run -n 5 -o plain.npy seed=3 --quiet");
    let plain = fs::read(path.join("plain.npy")).unwrap();
    let sample = |out: &str| program(path, &format!("sample run -n 5 seed=3 -o {out}"));

    // A pipe gets the configurations only.
    let piped = sample("/dev/stdout").output().unwrap();
    assert_eq!((piped.status.code(), &piped.stdout), (Some(0), &plain));
    assert!(String::from_utf8(piped.stderr).unwrap().contains("log-probabilities are left out"));
    assert!(!Path::new("/dev/stdout.log_p.npy").exists());
    // So does a file behind stdout.
    let mut command = sample("/dev/stdout");
    command.stdout(File::create(path.join("redirected")).unwrap());
    assert!(command.status().unwrap().success());
    assert_eq!(fs::read(path.join("redirected")).unwrap(), plain);

    assert!(sample("/dev/null").status().unwrap().success());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(!Path::new("/dev/null.log_p.npy").exists());

    assert!(Command::new("mkfifo").arg(path.join("fifo")).status().unwrap().success());
    let mut child = sample("fifo").stderr(Stdio::null()).spawn().unwrap();
    let mut through = Vec::new();
    File::open(path.join("fifo")).unwrap().read_to_end(&mut through).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(through, plain);
    assert!(fs::metadata(path.join("fifo")).unwrap().file_type().is_fifo());

    fs::write(path.join("target"), "old").unwrap();
    for (out, line) in [
        ("link.npy", "sample run -n 5 seed=3 -o link.npy"),
        ("link.html", "report run samples=64 runs=0 -o link.html"),
        ("link.json", "bench norm --shape 4x8 --runs 1 --warmup 0 --json link.json"),
    ] {
        symlink("target", path.join(out)).unwrap();
        succeeds(path, line);
        assert!(fs::symlink_metadata(path.join(out)).unwrap().is_symlink(), "{line}");
        assert_ne!(fs::read(path.join("target")).unwrap(), b"old", "{line}");
        fs::write(path.join("target"), "old").unwrap();
    }
    let page = end(program(path, "report run samples=64 runs=0 -o /dev/stdout --quiet")).stdout;
    assert!(page.trim_end().ends_with("</html>"), "{}", &page[page.len().saturating_sub(80)..]);
    let left: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[test]
fn the_lock_of_a_run_follows_no_link() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("victim"), "mine").unwrap();
    symlink(path.join("victim"), path.join("run/lock")).unwrap();
    let line = "train --resume run steps=2";
    refuses(path, line, program(path, line), 1, &["lock"]);
}

/// `sh` limits the address space, so that building the tables before their size is checked would abort the program.
#[test]
fn tables_beyond_the_memory_are_refused_before_they_are_built() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for (line, words) in [
        ("train L=256x256 --rnn patch=2x2 Nh=8 --tfim --memory 64MiB", ["patches of each sample", "larger patch"]),
        ("train L=128x128 --rnn patch=2x2 Nh=8 --tfim --memory 64MiB", ["connected configurations", "larger patch"]),
        ("train --rnn patch=2x2 Nh=8 --rydberg Lx=128 Ly=64 --memory 64MiB", ["more than --memory 256MiB", "lattice"]),
        ("eval --weights w --rnn patch=2x2 --rydberg Lx=128 Ly=64 --memory 64MiB", ["--memory 256MiB", "lattice"]),
        (
            "train --ptf patch=2x2 Nh=4096 nhead=32 ffn=32768 num_layers=16 --memory 64MiB",
            ["parameters", "smaller model"],
        ),
        ("train --rnn patch=2x2 Nh=8 --rydberg Lx=512 Ly=512", ["65536 sites", "Lx="]),
    ] {
        let command = program(path, line);
        let mut limited = Command::new("sh");
        limited.arg("-c").arg("ulimit -v 1000000; exec \"$0\" \"$@\"").arg(command.get_program());
        limited.args(command.get_args()).current_dir(path).stdin(Stdio::null());
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.env_remove("XDG_RUNTIME_DIR").env_remove("RUST_BACKTRACE");
        let code = if line.contains("512") { 2 } else { 1 };
        refuses(path, line, limited, code, &words);
    }
}
