//! The one error type of the crate.
//!
//! A message says who complains, what was expected, what came instead and what to do about it, in one line that
//! the command line can print as it is.

use std::error::Error as StdError;
use std::fmt;

/// What kind of thing went wrong; match on it to react, print the [`Error`] to tell a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting or an argument is outside what is allowed.
    Settings,
    /// A buffer or a shape does not fit what a kernel needs.
    Shape,
    /// A shader does not assemble, validate or bind as asked.
    Shader,
    /// No adapter, or none of the wanted name.
    Adapter,
    /// The GPU device was lost or refused a command.
    Device,
    /// A memory budget or an adapter limit is too small for the problem.
    Memory,
    /// A file or folder could not be read or written.
    File,
    /// A weights file is foreign, truncated or of another shape.
    Weights,
    /// A number that must be finite is not.
    NotFinite,
    /// The user asked to stop.
    Interrupted,
}

/// An error with its kind, a one-line message with a remedy, and the error that caused it, if any.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A new error of `kind`; `message` is one line: who, expected, got, remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with the error that led to it.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}
