//! Dependencies between rooms, the top-level modules. They go in one direction only:
//! cli → bench, run → vmc → model, physics → kernels → gpu.

use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use in addition to itself and `error`.
const ROOMS: [(&str, &[&str]); 11] = [
    ("gpu", &[]),
    ("physics", &[]),
    ("kernels", &["gpu"]),
    ("arena", &["gpu", "kernels"]),
    ("model", &["gpu", "kernels", "physics"]),
    ("vmc", &["gpu", "kernels", "physics", "model"]),
    ("gpt", &["gpu", "kernels", "model", "vmc"]),
    ("text", &["kernels", "gpt"]),
    ("run", &["gpu", "kernels", "physics", "model", "vmc", "gpt", "text"]),
    ("bench", &["gpu", "kernels", "arena", "physics", "model", "vmc", "gpt"]),
    ("cli", &["gpu", "kernels", "arena", "physics", "model", "vmc", "gpt", "text", "run", "bench"]),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false if path.extension().is_some_and(|e| e == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

fn files_of(room: &str) -> Vec<(String, String)> {
    let files = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room));
    assert!(!files.is_empty(), "no room {room}");
    files.into_iter().map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// Source text without comments, which may mention names that code must not.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_room_uses_a_room_above_it() {
    for (room, allowed) in ROOMS {
        for (file, text) in files_of(room) {
            for (other, _) in ROOMS.iter().filter(|(other, _)| *other != room && !allowed.contains(other)) {
                for path in [format!("crate::{other}"), format!("ketformer::{other}")] {
                    assert!(!code(&text).contains(&path), "{file}: {room} must not use {path}");
                }
            }
        }
    }
}

#[test]
fn only_the_command_line_prints() {
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "cli") {
        for (file, text) in files_of(room) {
            for print in ["println!", "print!(", "eprintln!", "eprint!("] {
                assert!(!code(&text).contains(print), "{file} prints");
            }
        }
    }
}

#[test]
fn rooms_keep_to_their_words() {
    let forbidden = [("gpu", ["spin", "rydberg", "lattice"]), ("kernels", ["rydberg", "hamiltonian", "lattice"])];
    for (room, words) in forbidden {
        for (file, text) in files_of(room) {
            let code = code(&text).to_lowercase();
            words.iter().for_each(|word| assert!(!code.contains(word), "{file} contains {word}"));
        }
    }
    for (file, text) in ["kernels", "arena", "model", "vmc", "physics", "run", "bench"].into_iter().flat_map(files_of) {
        for builder in ["create_bind_group", "create_compute_pipeline", "create_shader_module"] {
            assert!(!code(&text).contains(builder), "{file}: only gpu/ builds pipelines and bind groups");
        }
    }
}
