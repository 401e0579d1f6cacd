//! Linear attention: all previous positions are summarized in one matrix and one vector per head.
//!
//! ```text
//! forward         out_i = Sᵢᵀ φ(q_i) / s_i    s_i = z_i · φ(q_i)
//!                 S_i = Σ_{j ≤ i} φ(k_j) v_jᵀ    z_i = Σ_{j ≤ i} φ(k_j)
//! query gradient  d_q_i = φ'(q_i) (S_i g_i − δ_i z_i)    g_i = d_out_i / s_i             δ_i = g_i · out_i
//! key gradient    d_k_j = φ'(k_j) (R_j v_j − w_j)        R_j = Σ_{i ≥ j} φ(q_i) g_iᵀ    w_j = Σ_{i ≥ j} δ_i φ(q_i)
//! value gradient  d_v_j = R_jᵀ φ(k_j)
//! ```
//!
//! φ(x) = elu(x) + 1; always causal (Katharopoulos et al., arXiv:2006.16236). Rows of `qkv` are as in softmax
//! attention.
//!
//! **Chunks.** Only the state after each [`chunk`] of positions is stored: (B, chunks − 1, H, 4⌈D/4⌉·(4⌈D/4⌉ + 1))
//! floats. A query adds the keys of its own chunk up to its position. A chunk is about as long as a head is wide, so a
//! query reads as much of the state as of keys. The states take between C and 2C floats per position, a third to two
//! thirds of the rows [q | k | v]. States of every position would take C·(D + 1). Chunks depend on D alone and are part
//! of the definition of the result.
//!
//! No kernel of this module needs subgroups. The number of queries or keys per lane does not change any sum.
//!
//! Suffixes of connected configurations add in another order than decoding. In mixed precision, the two therefore agree
//! to 10⁻⁴ instead of 10⁻⁵.

mod backward;
pub(crate) mod cases;
mod forward;
mod states;
mod suffix;

use super::AttentionShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Groups, Kernel, Rows};
use crate::kernels::device::probe::MOST_ITERATIONS;
pub use backward::{LinearBackward, backward_reference};
pub use forward::{LinearForward, forward_reference};
pub use suffix::{LinearSuffix, suffix_reference};

/// Number of positions per chunk for heads of width `d`: a power of two from 4 to 64.
pub fn chunk(d: u32) -> u32 {
    d.next_power_of_two().clamp(4, 64)
}

/// Number of chunks of `t` positions after which a state is stored: all but the last.
fn slots(t: u32, d: u32) -> u32 {
    (t - 1) / chunk(d)
}

/// Number of floats of one state.
fn state_floats(d: u32) -> u64 {
    let d = u64::from(d.next_multiple_of(4));
    d * (d + 1)
}

/// Number of floats of the states of one sample of `shape`; 0 if the sample is a single chunk.
pub fn states_of_sample(shape: &AttentionShape) -> u64 {
    u64::from(slots(shape.t, shape.d)) * u64::from(shape.h) * state_floats(shape.d)
}

/// Maximum number of positions of a sequence. A lane loops over all of them, and some drivers end it after 65,535
/// iterations.
pub fn most_positions(d: u32) -> u32 {
    // Suffixes take the most iterations: per position one, its parts, and the four elements of the part that is stored;
    // every loop counts once more when it ends. At D = 128 lavapipe was observed to fail between 1500 and 1578
    // positions.
    MOST_ITERATIONS / (d.div_ceil(4) + 11)
}

/// φ(x) = elu(x) + 1; constant below −30.
fn feature(x: f64) -> f64 {
    if x > 0.0 { x + 1.0 } else { x.max(-30.0).exp() }
}

pub(super) fn features(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| feature(*x)).collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Checks that linear attention supports `shape`.
fn check(kernel: &Kernel, shape: &AttentionShape) -> Result<()> {
    shape.check(kernel)?;
    check_positions(kernel, shape.t, shape.d)?;
    if !shape.causal {
        let message =
            format!("{}: linear attention is causal; use softmax attention for sums over all positions", kernel.name);
        return Err(Error::new(ErrorKind::Shape, message));
    }
    Ok(())
}

fn check_positions(kernel: &Kernel, t: u32, d: u32) -> Result<()> {
    let most = most_positions(d);
    if t > most {
        let name = kernel.name;
        let message = format!(
            "{name}: expected at most {most} positions, got {t}; use heads narrower than {d} or fewer positions"
        );
        return Err(Error::new(ErrorKind::Shape, message));
    }
    Ok(())
}

/// Grid with `each` lanes per sample or item.
fn lanes(of: &Rows, each: u32) -> Groups {
    of.times(each).groups(super::LANES, 1)
}

/// Number of rows per lane, out of `count`, where each row takes `arrays` arrays of the head width: as many as fit into
/// registers. Software adapters keep narrow arrays in memory, which costs less than loading keys and states again.
fn rows_of_lane(gpu: &Gpu, arrays: u32, d: u32, count: u32) -> u32 {
    let (arrays, d) = if gpu.is_software() && d <= 16 { (1, 1) } else { (arrays, d) };
    super::tile(super::FLOATS, arrays, d, count)
}
