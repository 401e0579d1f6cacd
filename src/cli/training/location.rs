//! Location of a run folder.

use std::path::{Path, PathBuf};

use ketformer::Result;
use ketformer::run::RunFolder;

use crate::cli::settings::Settings;

/// Value of `dir=` for no run folder, as in the reference code.
pub const NO_FOLDER: &str = "<NONE>";

/// Location of the run folder.
#[derive(Debug)]
pub enum RunLocation {
    /// This folder.
    At(PathBuf),
    /// A numbered folder in this one.
    Under(PathBuf),
    /// Nothing is written.
    Nowhere,
}

impl RunLocation {
    /// `--out DIR`, or a numbered folder under `dir/sub_directory`. Event files for TensorBoard need a folder.
    ///
    /// # Errors
    /// `ErrorKind::Settings` if the settings contradict each other.
    pub fn new(out: Option<&Path>, settings: &Settings, tensorboard: bool) -> Result<Self> {
        let location = Self::of(out, settings)?;
        if tensorboard && matches!(location, Self::Nowhere) {
            let text =
                format!("--tensorboard writes into the run folder, and dir={NO_FOLDER} has none; keep one of them");
            return Err(settings.group().error(text));
        }
        Ok(location)
    }

    fn of(out: Option<&Path>, settings: &Settings) -> Result<Self> {
        let fault = |text: &str| Err(settings.group().error(text));
        let dir = settings.text("dir");
        match (out, settings.optional_text("sub_directory")) {
            (Some(_), _) if settings.is_given("dir") => fault("dir= and --out both name a folder; keep one of them"),
            (Some(out), _) if out.as_os_str().is_empty() => fault("--out is empty; give it the name of a folder"),
            // With --out, sub_directory= has no effect.
            (Some(out), _) => Ok(Self::At(out.to_path_buf())),
            (None, _) if dir == NO_FOLDER => Ok(Self::Nowhere),
            (None, None) => Ok(Self::Under(dir.into())),
            (None, Some(inside)) => {
                // In the reference code it is appended to the name of a folder and may begin with a slash.
                let inside = Path::new(inside.trim_start_matches(['/', '\\']));
                match inside.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
                    true => Ok(Self::Under(Path::new(dir).join(inside))),
                    false => fault("sub_directory= leads out of dir=; give a plain name"),
                }
            }
        }
    }

    /// Creates the folder.
    pub fn reserve(&self) -> Result<Option<RunFolder>> {
        match self {
            Self::At(path) => RunFolder::at(path).map(Some),
            Self::Under(parent) => RunFolder::numbered(parent).map(Some),
            Self::Nowhere => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::groups::train;

    #[test]
    fn places() {
        let place = |line: &str, out: Option<&str>| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            RunLocation::new(out.map(Path::new), &train::GROUP.parse(&words).unwrap(), false)
        };
        let shown = |line: &str, out| match place(line, out).unwrap() {
            RunLocation::At(path) => format!("at {}", path.display()),
            RunLocation::Under(path) => format!("under {}", path.display()),
            RunLocation::Nowhere => "nowhere".into(),
        };
        assert_eq!(shown("", None), "under out");
        assert_eq!(shown("dir=a/b sub_directory=2x2", None), "under a/b/2x2");
        assert_eq!(shown("sub_directory=/2x2", None), "under out/2x2");
        assert_eq!(shown("sub_directory=2x2", Some("x")), "at x");
        assert_eq!(shown("dir=<NONE>", None), "nowhere");
        let message = |line: &str, out| place(line, out).unwrap_err().to_string();
        assert!(message("dir=a", Some("b")).contains("keep one"));
        assert!(message("sub_directory=../a", None).contains("plain name"));
    }
}
