//! README.md and docs/: the settings reference is up to date, links resolve, commands run.
//!
//! `KETFORMER_RECORD_DOCS=1 cargo test --release --test documentation` rewrites docs/cli.md.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{end, program, succeeds};
use tempfile::TempDir;

const COMMANDS: &[&str] = &[
    "train",
    "eval",
    "sample",
    "report",
    "sweep",
    "exact",
    "gpt",
    "gpt train",
    "gpt sample",
    "gpt eval",
    "gpt tune",
    "bench",
    "tune",
    "doctor",
    "kernels",
    "devices",
];
const GROUPS: &[&str] = &[
    "train",
    "ptf",
    "rnn",
    "lptf",
    "rbm",
    "vit",
    "rydberg",
    "tfim",
    "heisenberg",
    "xxz",
    "eval",
    "sample",
    "report",
    "gpt",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_command_line_reference_is_what_the_program_prints() {
    let folder = TempDir::new().unwrap();
    let mut text =
        "# Command-line reference\n\nGenerated from `ketformer help`; `tests/documentation.rs` compares it.\n\
                    The [guide](guide.md) explains how the commands belong together.\n"
            .to_string();
    let mut section = |title: &str, line: &str| {
        // Help prints the value of this variable and depends on the width of the terminal.
        let mut command = program(folder.path(), line);
        command.env_remove("KETFORMER_ADAPTER").env_remove("COLUMNS");
        let printed = end(command).stdout;
        assert!(!printed.is_empty(), "{line} prints nothing");
        text.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", printed.trim_end()));
    };
    for group in GROUPS {
        section(&format!("Settings: {group}"), &format!("help {group}"));
    }
    for command in COMMANDS {
        section(&format!("Command: {command}"), &format!("{command} --help"));
    }
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let path = root().join("docs/cli.md");
    if std::env::var_os("KETFORMER_RECORD_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        read("docs/cli.md") == text,
        "docs/cli.md is out of date; KETFORMER_RECORD_DOCS=1 cargo test --release --test documentation rewrites it"
    );
}

/// Markdown files of the top level and of docs/.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    pages.chain(top).collect()
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            assert!(page.parent().unwrap().join(file).exists(), "{}: {target} does not exist", page.display());
        }
    }
    assert!(links > 10, "only {links} links");
}

#[test]
fn the_readme_stays_short() {
    let readme = read("README.md");
    let [words, lines] = [readme.split_whitespace().count(), readme.lines().count()];
    assert!(words <= 900 && lines <= 120, "{words} words, {lines} lines");
}

/// Commands in the code blocks of a page, without the program's name and shell commands before it.
fn commands(page: &str) -> Vec<String> {
    let page = read(page);
    let blocks = page.split("\n```\n").filter(|block| block.contains("ketformer ") || block.contains("cargo run"));
    let lines = blocks.flat_map(str::lines);
    let commands = lines.filter_map(|line| {
        let cargo = line.strip_prefix("./setup.sh && cargo run --release -- ");
        line.strip_prefix("ketformer ").or(cargo)
    });
    commands.map(str::to_string).collect()
}

#[test]
fn commands_of_the_readme_and_the_guide_run() {
    let folder = TempDir::new().unwrap();
    let all = [commands("README.md"), commands("docs/guide.md")].concat();
    assert!(all.len() >= 7, "only {all:?}");
    for command in all {
        // The same commands with shorter runs.
        let is_resumed = command.contains("--resume");
        let short = |word: &str| match word.split_once('=') {
            Some(("steps", _)) => format!("steps={}", if is_resumed { 3 } else { 2 }),
            Some(("K", _)) => "K=16".into(),
            Some(("warmup", _)) => "warmup=1".into(),
            Some(("delta", "0:3:0.25")) => "delta=0:1:0.5".into(),
            _ if word == "100000" => "500".into(),
            _ => word.to_string(),
        };
        let mut short = command.split_whitespace().map(short).collect::<Vec<_>>().join(" ");
        if command.contains("NLOOPS") {
            short = short.replace("--ptf", "steps=1 --ptf");
        }
        succeeds(folder.path(), &short);
    }
}
