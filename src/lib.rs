pub mod error;
pub mod gpu;
pub mod kernels;
pub mod physics;
pub use error::{Error, ErrorKind, Result};
