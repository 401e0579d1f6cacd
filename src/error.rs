//! The error type of the crate.
//!
//! A message is one line: the component, what was expected, what was found and a remedy.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The kind of an error. Match on it to handle an error in code; print the [`Error`] for users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting or an argument is out of range.
    Settings,
    /// A buffer or a shape does not match what a kernel requires.
    Shape,
    /// A shader fails to assemble, validate or bind.
    Shader,
    /// There is no adapter, or none with the requested name or feature.
    Adapter,
    /// The GPU device was lost or rejected a command.
    Device,
    /// A memory budget or an adapter limit is too small for the problem.
    Memory,
    /// A file or folder could not be read or written.
    File,
    /// A weights file is truncated, has another shape or is not a weights file of this crate.
    Weights,
    /// A number that must be finite is not.
    NotFinite,
    /// The user requested a stop.
    Interrupted,
}

/// An error: its kind, a one-line message with a remedy, and the underlying error, if any.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Creates an error of `kind`. `message` is one line: component, expected, got, remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Attaches the underlying error.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.message))?;
        match &self.source {
            Some(source) => write!(f, " ({})", one_line(&source.to_string())),
            None => Ok(()),
        }
    }
}

/// The text as one line. Messages of wgpu have several.
fn one_line(text: &str) -> Cow<'_, str> {
    match text.contains('\n') {
        true => text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ").into(),
        false => text.into(),
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let error = Error::new(ErrorKind::Device, "rejected:\n  Validation Error\n\n").caused_by("a\nb");
        assert_eq!(error.to_string(), "rejected: Validation Error (a b)");
    }
}
