//! What a program leaves in its run folder if it is killed before the run begins.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use super::checkpoints::{checkpoint_name, checkpoint_step, remove_checkpoints};
use super::{EVENTS_FOLDER, GPT_FILES, LOCK_FILE, METRICS_FILE, SETTINGS_FILE};
use crate::atomic_write::is_temporary;
use crate::run::events::{is_event_file, remove_events};

/// Whether `folder` has entries, all of which are from a start that was killed before the settings were written: the
/// lock, temporary files, the checkpoint of step 0, metrics without a row, event files, and next to the checkpoint of a
/// GPT its sizes, tokenizer, data and starting weights. They are not needed.
pub(super) fn is_killed_start(folder: &Path) -> bool {
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries.peekable(),
        Err(_) => return false,
    };
    let has_checkpoint = folder.join(checkpoint_name(0)).is_file();
    entries.peek().is_some() && entries.all(|entry| is_remnant(entry, has_checkpoint).unwrap_or(false))
}

fn is_remnant(entry: io::Result<DirEntry>, has_checkpoint: bool) -> io::Result<bool> {
    let entry = entry?;
    let (kind, path) = (entry.file_type()?, entry.path());
    let name = entry.file_name();
    let Some(name) = name.to_str() else { return Ok(false) };
    Ok(match name {
        EVENTS_FOLDER if kind.is_dir() => {
            let mut files = fs::read_dir(&path)?;
            files.all(|file| file.is_ok_and(|file| is_event_file(&file.path())))
        }
        _ if !kind.is_file() => false,
        LOCK_FILE => true,
        METRICS_FILE => is_header(&fs::read(&path)?),
        _ if GPT_FILES.contains(&name) => has_checkpoint,
        _ => is_part(name) || checkpoint_step(name) == Some(0),
    })
}

/// Whether `name` is that of a temporary file of a run, of this or of earlier versions, which added `.part` to the name
/// of the file.
fn is_part(name: &str) -> bool {
    let was = |file: &str| file == SETTINGS_FILE || checkpoint_step(file).is_some();
    is_temporary(name) || name.strip_suffix(".part").is_some_and(was)
}

/// Whether a metrics file has no row: it is empty or ends within or after the header, whose first column is the step.
fn is_header(bytes: &[u8]) -> bool {
    let is_one_line = bytes.iter().position(|byte| *byte == b'\n').is_none_or(|end| end + 1 == bytes.len());
    is_one_line && (bytes.is_empty() || bytes.starts_with(b"step,"))
}

/// Removes them, except for the lock.
pub(super) fn remove_remnants(folder: &Path) {
    remove_checkpoints(folder);
    remove_events(&folder.join(EVENTS_FOLDER));
    for name in [METRICS_FILE].into_iter().chain(GPT_FILES) {
        fs::remove_file(folder.join(name)).ok();
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_part) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_killed_start_are_remnants() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        let put = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        assert!(!is_killed_start(folder), "an empty folder");
        put(LOCK_FILE, "");
        assert!(is_killed_start(folder));
        // Without a checkpoint, it is a file of another program.
        put("config.json", "{}");
        assert!(!is_killed_start(folder));
        for (name, text) in [
            ("settings.json.part", "{"),
            (".ketformer-0123456789abcdef.part", ""),
            ("checkpoint-000000000.safetensors", "x"),
            (METRICS_FILE, "step,energy\n"),
            ("tokenizer.json", "{}"),
        ] {
            put(name, text);
        }
        fs::create_dir(folder.join(EVENTS_FOLDER)).unwrap();
        put("tensorboard/events.out.tfevents.0000000001.ketformer", "");
        assert!(is_killed_start(folder));
        for (name, text) in [
            ("notes.txt", ""),
            ("notes.part", ""),
            ("settings.json", "{}"),
            ("checkpoint-000000007.safetensors", ""),
            (METRICS_FILE, "step,energy\n1,-7\n"),
            (METRICS_FILE, "notes"),
            ("tensorboard/mine", ""),
        ] {
            let before = fs::read(folder.join(name)).ok();
            put(name, text);
            assert!(!is_killed_start(folder), "{name}");
            match before {
                Some(before) => fs::write(folder.join(name), before).unwrap(),
                None => fs::remove_file(folder.join(name)).unwrap(),
            }
        }
        assert!(is_killed_start(folder));
        remove_remnants(folder);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
        assert!(folder.join(LOCK_FILE).is_file());
    }
}
