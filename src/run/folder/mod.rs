//! Run folder: newly created, never overwrites an older one, and removed again if the run does not begin.

mod checkpoints;
mod data_record;
mod identity;
mod newest_weights;
mod remnants;

pub use checkpoints::{KEPT_CHECKPOINTS, Newest, newest_checkpoint, save_checkpoint};
pub use data_record::DataRecord;
pub(super) use identity::is_at;
pub use newest_weights::{NewestWeights, newest_weights, newest_weights_by};

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use checkpoints::remove_checkpoints;
use remnants::{is_killed_start, remove_remnants};

use super::events::remove_events;
use super::{RunEnd, RunState};
use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

/// Resolved settings.
pub const SETTINGS_FILE: &str = "settings.json";
/// Metrics, one row per step.
pub const METRICS_FILE: &str = "metrics.csv";
/// Locked while a program trains in the folder.
const LOCK_FILE: &str = "lock";
/// The weights.
pub const MODEL_FILE: &str = "model.safetensors";
/// Metrics in the columns of the public PyTorch code.
pub const HISTORY_FILE: &str = "metrics.npy";
/// The energy against the step.
pub const PICTURE_FILE: &str = "energy.svg";
/// The losses of a GPT against the step.
pub const LOSS_FILE: &str = "loss.svg";
/// The mean reward of a fine-tuned GPT against the step.
pub const REWARD_FILE: &str = "reward.svg";
/// Weights of a GPT before it was fine-tuned.
pub const START_FILE: &str = "start.safetensors";
/// Weights of a GPT with the lowest loss of held-out data.
pub const BEST_FILE: &str = "best.safetensors";
/// Sizes of a GPT, for other programs.
pub const CONFIG_FILE: &str = "config.json";
/// Tokenizer of a GPT.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// Record of the data of a GPT.
pub const DATA_FILE: &str = "data.json";
/// Files that the run of a GPT writes before its settings.
const GPT_FILES: [&str; 4] = [CONFIG_FILE, TOKENIZER_FILE, DATA_FILE, START_FILE];
/// Report page of the run, if requested.
pub const REPORT_FILE: &str = "report.html";
/// Folder of the TensorBoard event files, if requested.
pub const EVENTS_FOLDER: &str = "tensorboard";

/// Folder of one run.
///
/// Until [`keep`](Self::keep) is called, the folder is only reserved: dropping it removes what was created, so that a
/// run that fails before its first step leaves nothing behind.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    made: Vec<PathBuf>,
    kept: bool,
    lock: Option<Lock>,
    /// The open folder, on platforms that can open folders.
    handle: Option<File>,
}

impl RunFolder {
    /// Opens the folder at `path`, which must be empty; creates it and its parents if it does not exist. Removes what a
    /// program left there that was killed before its run began.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it is a file, is not empty, or cannot be created, or if a run is in progress in it.
    pub fn at(path: &Path) -> Result<Self> {
        let shown = path.display();
        let made = make(path)?;
        let mut folder = Self { path: path.to_path_buf(), made, kept: false, lock: None, handle: None };
        let empty = fs::read_dir(path).map(|mut entries| entries.next().is_none()).map_err(|cause| {
            let text = format!("run folder: cannot read {shown}; give another run folder");
            Error::new(ErrorKind::File, text).caused_by(cause)
        })?;
        if empty {
            folder.lock(path)?;
            return Ok(folder);
        }
        // The contents belong to something else and must not be cleaned up.
        folder.keep();
        if is_killed_start(path) {
            folder.lock(path)?;
            // The other program may have begun its run, and ended, before the lock was free.
            if is_killed_start(path) {
                remove_remnants(path);
                folder.kept = false;
                return Ok(folder);
            }
        }
        let text = format!(
            "run folder: {shown} is not empty, and no run is ever overwritten; give another run folder, or resume it"
        );
        Err(Error::new(ErrorKind::File, text))
    }

    /// Opens the folder of a run that resumes.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if another run is in progress in it.
    pub fn existing(path: &Path) -> Result<Self> {
        let mut folder = Self { path: path.to_path_buf(), made: Vec::new(), kept: true, lock: None, handle: None };
        folder.lock(path)?;
        Ok(folder)
    }

    /// Locks the folder at `path` and makes it that of the run.
    fn lock(&mut self, path: &Path) -> Result<()> {
        self.lock = Some(Lock::new(path)?);
        self.handle = File::open(path).ok();
        self.path = path.to_path_buf();
        Ok(())
    }

    /// State of the run in the folder at `path`, of which `ended` is recorded.
    pub fn state(path: &Path, ended: Option<RunEnd>) -> RunState {
        let lock = lock_file(&path.join(LOCK_FILE), false);
        let is_locked = lock.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        match (is_locked, ended) {
            (true, _) => RunState::InProgress,
            (false, Some(end)) => RunState::Ended(end),
            (false, None) => RunState::Unknown,
        }
    }

    /// Whether the folder at `path` only contains what a program left that was killed before its run began, so that
    /// [`RunFolder::at`] accepts it.
    pub fn is_killed_start(path: &Path) -> bool {
        is_killed_start(path)
    }

    /// Checks that the path still names the folder that was opened.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it was deleted, moved or replaced.
    pub fn check(&self) -> Result<()> {
        let is_there = self.handle.as_ref().map_or(self.path.is_dir(), |handle| is_at(handle, &self.path));
        if is_there {
            return Ok(());
        }
        let what = match self.path.symlink_metadata() {
            Ok(_) => "replaced by another one",
            Err(_) => "deleted or moved",
        };
        let text = format!(
            "run folder: {} was {what} during the run, which ends because nothing can be written into it; restore it and \
             resume, or begin a new run in another run folder",
            self.path.display()
        );
        Err(Error::new(ErrorKind::File, text))
    }

    /// Creates a new folder under `parent` with the next free number: 1, or one more than the largest existing number.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be created.
    pub fn numbered(parent: &Path) -> Result<Self> {
        let made = make(parent)?;
        let mut folder = Self { path: parent.to_path_buf(), made, kept: false, lock: None, handle: None };
        let entries = fs::read_dir(parent).map_err(|cause| cannot_make(parent, cause))?;
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
        let mut number = numbers.max().unwrap_or(0);
        loop {
            number = number.saturating_add(1);
            let path = parent.join(number.to_string());
            match fs::create_dir(&path) {
                Ok(()) => {
                    folder.made.push(path.clone());
                    folder.lock(&path)?;
                    return Ok(folder);
                }
                // Another run took the number in the meantime.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && number < u64::MAX => {}
                Err(cause) => return Err(cannot_make(&path, cause)),
            }
        }
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the file called `name` in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Marks the run as begun: the folder is no longer removed on drop.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        self.lock = None;
        for name in [SETTINGS_FILE, METRICS_FILE].into_iter().chain(GPT_FILES) {
            fs::remove_file(self.file(name)).ok();
        }
        remove_checkpoints(&self.path);
        remove_events(&self.file(EVENTS_FOLDER));
        remove(&self.made);
    }
}

/// File that is locked while a program trains in its folder. The operating system releases the lock when the program
/// ends.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn new(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        let file = lock_file(&path, true).map_err(|cause| cannot_make(&path, cause))?;
        match file.try_lock() {
            Ok(()) => {
                atomic_write::remove_leftovers(folder);
                Ok(Self { path, _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let text = format!("run folder: a run is going on in {}; wait for its end", folder.display());
                Err(Error::new(ErrorKind::File, text))
            }
            // Some network file systems have no locks; the run then continues without one.
            Err(TryLockError::Error(_)) => Ok(Self { path, _file: file }),
        }
    }
}

/// Opens the file, or creates it if `create`, without truncating it. Anything but a file, such as a symbolic link or a
/// FIFO, is an error.
fn lock_file(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(create).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// Creates `path` and its missing parents. Returns the folders created, outermost first.
fn make(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(Vec::new());
    }
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err();
    let mut wanted: Vec<PathBuf> = path.ancestors().take_while(missing).map(Path::to_path_buf).collect();
    wanted.reverse();
    if wanted.is_empty() {
        let text = format!("run folder: {} is a file; give another run folder", path.display());
        return Err(Error::new(ErrorKind::File, text));
    }
    for (index, folder) in wanted.iter().enumerate() {
        match fs::create_dir(folder) {
            Ok(()) => {}
            Err(cause) => {
                remove(&wanted[..index]);
                return Err(cannot_make(path, cause));
            }
        }
    }
    Ok(wanted)
}

/// Removes empty folders, innermost first.
fn remove(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        fs::remove_dir(folder).ok();
    }
}

fn cannot_make(path: &Path, cause: io::Error) -> Error {
    let text = format!("run folder: cannot make {}; give another run folder", path.display());
    Error::new(ErrorKind::File, text).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_folder_is_used_as_it_is_when_new_or_empty() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let mut folder = RunFolder::at(&path).unwrap();
        folder.keep();
        assert_eq!(folder.path(), path);
        drop(folder);
        let mut again = RunFolder::at(&path).unwrap();
        again.keep();
        fs::write(again.file(METRICS_FILE), "old").unwrap();
        let refused = RunFolder::at(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::File);
        assert!(refused.to_string().contains("not empty"));
        assert_eq!(fs::read_to_string(path.join(METRICS_FILE)).unwrap(), "old");
    }

    #[test]
    fn numbers_go_up_and_skip_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let parent = root.path().join("out");
        for number in ["1", "2"] {
            let mut folder = RunFolder::numbered(&parent).unwrap();
            assert_eq!(folder.path(), parent.join(number));
            folder.keep();
        }
        fs::create_dir(parent.join("41")).unwrap();
        fs::create_dir(parent.join("notes")).unwrap();
        assert_eq!(RunFolder::numbered(&parent).unwrap().path(), parent.join("42"));
    }

    #[test]
    fn one_program_at_a_time_is_in_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let first = RunFolder::existing(root.path()).unwrap();
        assert!(RunFolder::existing(root.path()).unwrap_err().to_string().contains("wait for its end"));
        drop(first);
        drop(RunFolder::existing(root.path()).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_follows_no_link_and_destroys_nothing() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("run");
        fs::create_dir(&run).unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, run.join(LOCK_FILE)).unwrap();
        let refused = RunFolder::existing(&run).unwrap_err();
        assert!(refused.to_string().contains("lock"), "{refused}");
        fs::remove_file(run.join(LOCK_FILE)).unwrap();
        fs::hard_link(&victim, run.join(LOCK_FILE)).unwrap();
        drop(RunFolder::existing(&run).unwrap());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert!(std::process::Command::new("mkfifo").arg(run.join(LOCK_FILE)).status().unwrap().success());
        assert!(RunFolder::existing(&run).is_err());
        assert!(matches!(RunFolder::state(&run, None), RunState::Unknown));
    }

    #[test]
    fn temporary_files_of_a_killed_program_are_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".ketformer-0123456789abcdef.part"), "").unwrap();
        drop(RunFolder::existing(root.path()).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_kept_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(&root.path().join("a/b/c")).unwrap();
        fs::write(folder.file(SETTINGS_FILE), "{}").unwrap();
        fs::create_dir(folder.file(EVENTS_FOLDER)).unwrap();
        fs::write(folder.file(EVENTS_FOLDER).join("events.out.tfevents.0000000001.ketformer"), "").unwrap();
        drop(folder);
        drop(RunFolder::numbered(&root.path().join("out/x")).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        // A folder that existed before stays.
        drop(RunFolder::at(root.path()).unwrap());
        assert!(root.path().is_dir());
    }

    #[test]
    fn a_folder_of_a_killed_start_is_used_again() {
        let root = tempfile::tempdir().unwrap();
        let fill = || {
            fs::write(root.path().join(LOCK_FILE), "").unwrap();
            fs::write(root.path().join("checkpoint-000000000.safetensors"), "").unwrap();
        };
        fill();
        let running = File::create(root.path().join(LOCK_FILE)).unwrap();
        running.lock().unwrap();
        assert!(RunFolder::at(root.path()).unwrap_err().to_string().contains("going on"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "a start in progress lost its files");
        drop(running);
        drop(RunFolder::at(root.path()).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_disappears_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let mut folder = RunFolder::at(&path).unwrap();
        folder.keep();
        folder.check().unwrap();
        // The lock alone is not the folder.
        fs::remove_file(path.join(LOCK_FILE)).unwrap();
        folder.check().unwrap();
        fs::rename(&path, root.path().join("moved")).unwrap();
        assert!(folder.check().unwrap_err().to_string().contains("deleted or moved"));
        fs::create_dir(&path).unwrap();
        if cfg!(unix) {
            assert!(folder.check().unwrap_err().to_string().contains("replaced"));
        }
    }

    #[test]
    fn a_run_in_progress_holds_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let end = RunEnd { cause: crate::run::Ending::Completed, step: 3 };
        assert_eq!(RunFolder::state(root.path(), None), RunState::Unknown);
        let folder = RunFolder::existing(root.path()).unwrap();
        assert_eq!(RunFolder::state(root.path(), Some(end)), RunState::InProgress);
        drop(folder);
        assert_eq!(RunFolder::state(root.path(), Some(end)), RunState::Ended(end));
    }

    #[test]
    fn files_in_the_way_are_named_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "mine").unwrap();
        for path in [file.clone(), file.join("run"), file.join("a/b")] {
            let refused = RunFolder::at(&path).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::File);
            assert!(refused.to_string().contains("another run folder"), "{refused}");
            assert!(RunFolder::numbered(&path).is_err());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
}
