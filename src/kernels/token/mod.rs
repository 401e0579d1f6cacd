//! Kernels of models over a vocabulary of tokens: embedding, its gradient, cross-entropy, and sampling.
//!
//! The rows of a table or the logits of a large vocabulary do not fit into one binding. All kernels therefore work on
//! the tokens `first_token .. first_token + tokens` at a time.

pub(crate) mod cases;
pub mod cross_entropy;
pub mod embed;
pub mod gradient;
pub mod sample;

pub use cross_entropy::{CrossEntropyGradient, CrossEntropyShape, CrossEntropyStatistics};
pub use embed::{RowPositions, TokenEmbed, TokenEmbedShape};
pub use gradient::{TokenGradient, TokenGradientShape, token_index};
pub use sample::{TokenSample, TokenSampleShape};

use crate::error::{Error, ErrorKind, Result};

/// Checks that `value`, called `name`, is a positive multiple of 4.
fn check_vectors(kernel: &str, name: &str, value: u32) -> Result<()> {
    if value.is_multiple_of(4) && value > 0 {
        return Ok(());
    }
    let message = format!("{kernel}: expected {name} that is a positive multiple of 4, got {value}");
    Err(Error::new(ErrorKind::Shape, message))
}
