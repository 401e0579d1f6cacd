pub mod error;
pub mod gpu;
pub mod kernels;
pub mod model;
pub mod physics;
pub mod run;
pub mod vmc;
pub use error::{Error, ErrorKind, Result};
