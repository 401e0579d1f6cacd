pub mod error;
pub mod physics;
pub use error::{Error, ErrorKind, Result};
