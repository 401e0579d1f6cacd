//! Linear attention: the positions before are one matrix and one vector a head, whatever their number.
//!
//! ```text
//! forward           out_i = Sᵢᵀ φ(q_i) / s_i      s_i = z_i · φ(q_i)        S_i = Σ_{j ≤ i} φ(k_j) v_jᵀ    z_i = Σ_{j ≤ i} φ(k_j)
//! query gradient    d_q_i = φ'(q_i) (S_i g_i − δ_i z_i)                    g_i = d_out_i / s_i           δ_i = g_i · out_i
//! key gradient      d_k_j = φ'(k_j) (R_j v_j − w_j)                        R_j = Σ_{i ≥ j} φ(q_i) g_iᵀ    w_j = Σ_{i ≥ j} δ_i φ(q_i)
//! value gradient    d_v_j = R_jᵀ φ(k_j)
//! ```
//!
//! φ(x) = elu(x) + 1, always causal (Katharopoulos et al., arXiv:2006.16236). Rows of `qkv` are as in softmax attention.
//!
//! **Chunks.** Only the states after each [`chunk`] of positions are kept, (B, chunks − 1, H, 4⌈D/4⌉·(4⌈D/4⌉ + 1)) floats; a
//! query adds those keys of its chunk that are not after it. A chunk is about as long as a head is wide: then a query reads
//! as much of the state as of keys, and the states take between one and two C for each position, a third to two thirds of
//! the rows [q | k | v] themselves, where states of every position would take C·(D + 1). Chunks are part of the result's
//! definition: they depend on D alone.
//!
//! No kernel here needs subgroups. Queries, or keys, that a lane owns together change no sum.

mod backward;
mod forward;
mod states;
mod suffix;

use super::AttentionShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Groups, Kernel, Rows};
use crate::kernels::probe::MOST_ITERATIONS;

pub(in crate::kernels) use backward::{BACKWARD_KEY_ENTRY, BACKWARD_QUERY_ENTRY};
pub use backward::{LinearBackward, backward_reference};
pub(in crate::kernels) use forward::FORWARD_ENTRY;
pub use forward::{LinearForward, forward_reference};
pub(in crate::kernels) use states::{BACKWARD_STATE_ENTRY, STATE_ENTRY};
pub(in crate::kernels) use suffix::SUFFIX_ENTRY;
pub use suffix::{LinearSuffix, suffix_reference};

/// Positions of a chunk, for heads of width `d`: a power of two from 4 to 64.
pub fn chunk(d: u32) -> u32 {
    d.next_power_of_two().clamp(4, 64)
}

/// Chunks of `t` positions after which a state is kept: all but the last.
fn slots(t: u32, d: u32) -> u32 {
    (t - 1) / chunk(d)
}

/// Floats of one state.
fn state_floats(d: u32) -> u64 {
    let d = u64::from(d.next_multiple_of(4));
    d * (d + 1)
}

/// Floats of the states of one sample of `t` positions and `h` heads of width `d`; none where it is a single chunk.
pub fn states_of_sample(t: u32, h: u32, d: u32) -> u64 {
    u64::from(slots(t, d)) * u64::from(h) * state_floats(d)
}

/// Positions that a sequence may have at most: a lane goes over all of them, and some drivers end it after 65,535
/// iterations.
pub fn most_positions(d: u32) -> u32 {
    // Of suffixes, which go over most: a position, its parts, and the four elements of the part that is stored; every loop
    // counts once more when it ends. At D = 128 lavapipe was seen to give out between 1500 and 1578 positions.
    MOST_ITERATIONS / (d.div_ceil(4) + 11)
}

/// φ(x) = elu(x) + 1; below −30 it is constant.
fn feature(x: f64) -> f64 {
    if x > 0.0 { x + 1.0 } else { x.max(-30.0).exp() }
}

pub(super) fn features(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| feature(*x)).collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// That `shape` is one that linear attention has.
fn check(kernel: &Kernel, shape: &AttentionShape) -> Result<()> {
    shape.check(kernel)?;
    check_positions(kernel, shape.t, shape.d)?;
    if !shape.causal {
        let message = format!("{}: is causal; take softmax attention for sums over all positions", kernel.name);
        return Err(Error::new(ErrorKind::Shape, message));
    }
    Ok(())
}

fn check_positions(kernel: &Kernel, t: u32, d: u32) -> Result<()> {
    let most = most_positions(d);
    if t > most {
        let name = kernel.name;
        let message =
            format!("{name}: {t} positions are over {most}; take heads narrower than {d}, or fewer positions");
        return Err(Error::new(ErrorKind::Shape, message));
    }
    Ok(())
}

/// The grid of `each` lanes for every sample or item.
fn lanes(of: &Rows, each: u32) -> Groups {
    of.times(each).groups(super::LANES, 1)
}

/// Rows that a lane may own.
const TILES: [u32; 3] = [1, 2, 4];

/// Rows that a lane owns of `count`, where it holds `arrays` arrays of a head's width for each: as many as registers afford.
/// Software adapters keep narrow ones in memory, which costs less than loading keys and states once more.
fn rows_of_lane(gpu: &Gpu, arrays: u32, d: u32, count: u32) -> u32 {
    let (arrays, d) = if gpu.is_software() && d <= 16 { (1, 1) } else { (arrays, d) };
    super::tile(arrays, d, count)
}
