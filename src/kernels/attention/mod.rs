//! Softmax attention of H heads of width D, C = H·D: full, causal, one position at a time, and of changed suffixes.
//!
//! ```text
//! forward           out_i = Σ_j p_ij v_j    p_ij = exp(q_i · k_j / √D − lse_i)    lse_i = log Σ_j exp(q_i · k_j / √D)
//! query gradient    d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) k_j / √D               δ_i   = d_out_i · out_i
//! key gradient      d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) q_i / √D
//! value gradient    d_v_j = Σ_i p_ij d_out_i
//! ```
//!
//! A row of `qkv` is [q | k | v]. Head h has columns h·D..(h+1)·D of each third. Row b·T + t is position t of
//! sample b. The buffer of a layer is also its KV cache: each decoding step writes the rows of one position into it.
//! Causal sums run over j ≤ i, others over all T. Forward pass: Vaswani et al., arXiv:1706.03762. Backward pass: Dao et
//! al., arXiv:2205.14135, appendix B.
//!
//! Variants: by subgroups and scalar for software adapters and any width of heads; in workgroup memory for GPUs
//! (`tiled.rs`). The latter add in other orders, which depend on the variant, T and D.
//!
//! Keys and values are not copied into a cache with a separate layout, and a decoding step is the forward pass with one
//! query. The queries are a third of the cache; in exchange there is one kernel less and no copy.

mod backward;
pub(crate) mod cases;
mod dropout;
pub mod factored;
mod forward;
pub mod general;
pub mod inputs;
pub mod linear;
mod suffix;
mod tiled;
mod weights;

use std::ops::Range;

use super::variant::{Selection, Variant};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Groups, Kernel, Param, Rows};
use crate::kernels::strategy::Strategy;
pub use backward::{AttentionBackward, backward_reference, masked_backward_reference};
pub(super) use backward::{BACKWARD_KEY_SELECTOR, BACKWARD_QUERY_SELECTOR, BACKWARD_SHORT_SELECTOR};
pub use dropout::{AttentionDropout, AttentionMask};
pub(super) use forward::FORWARD_SELECTOR;
pub use forward::{AttentionForward, forward_reference, masked_forward_reference};
pub(super) use suffix::SUFFIX_SELECTOR;
pub use suffix::{AttentionSuffix, SuffixShape, suffix_reference};
pub use weights::{AttentionWeights, WeightsOf, weights_reference};

/// Rows of samples that are parts of longer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRows {
    /// Rows from one sample to the next.
    pub stride: u32,
    /// Row of the first position of the first sample.
    pub offset: u32,
}

/// Shape of full, causal or single-position attention. The default is full attention of no samples; set at least B, T, H
/// and D:
///
/// ```
/// # use ketformer::kernels::attention::AttentionShape;
/// let shape = AttentionShape { b: 64.into(), t: 16, h: 8, d: 4, causal: true, ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct AttentionShape {
    /// Samples B. With dynamic rows, an item is a sample.
    pub b: Rows,
    /// Number of positions T of a sample.
    pub t: u32,
    /// Number of heads H.
    pub h: u32,
    /// Head width D, 1 to 128.
    pub d: u32,
    /// Whether position i attends only to positions up to i.
    pub causal: bool,
    /// Positions of the n queries of a sample: `Some(i..i + 1)` in a decoding step for position i. `None`: all T, as in
    /// backward passes.
    pub query_positions: Option<Range<u32>>,
    /// Rows of the samples in `qkv`, if these are parts of longer ones. `None`: every T rows are a sample, as in backward
    /// passes.
    pub sample_rows: Option<SampleRows>,
    /// Dropout of the probabilities. GPUs run variants in workgroup memory with it, if the head width is a multiple of 4;
    /// other adapters and widths run the scalar variants.
    pub dropout: Option<AttentionDropout>,
}

impl AttentionShape {
    /// Position of the first query.
    pub(crate) fn first(&self) -> u32 {
        self.query_positions.as_ref().map_or(0, |positions| positions.start)
    }

    /// Number of queries n of a sample.
    pub(crate) fn queries(&self) -> u32 {
        self.query_positions.as_ref().map_or(self.t, |positions| positions.end.saturating_sub(positions.start))
    }

    fn stride(&self) -> u32 {
        self.sample_rows.map_or(self.t, |rows| rows.stride)
    }

    fn offset(&self) -> u32 {
        self.sample_rows.map_or(0, |rows| rows.offset)
    }

    fn width(&self) -> u64 {
        u64::from(self.h) * u64::from(self.d)
    }

    fn rows(&self) -> u64 {
        u64::from(self.b.capacity) * u64::from(self.t)
    }

    /// Number of rows of the buffer that contains the samples.
    fn buffer_rows(&self) -> u64 {
        u64::from(self.b.capacity.saturating_sub(1)) * u64::from(self.stride()) + u64::from(self.offset() + self.t)
    }

    fn query_rows(&self) -> u64 {
        u64::from(self.b.capacity) * u64::from(self.queries())
    }

    /// Number of pairs of a query and a key over all samples and heads.
    fn pairs(&self) -> f64 {
        let (n, first) = (f64::from(self.queries()), f64::from(self.first()));
        let of_sample = if self.causal { n * (first + (n + 1.0) / 2.0) } else { n * f64::from(self.t) };
        f64::from(self.b.capacity) * f64::from(self.h) * of_sample
    }

    fn text(&self) -> String {
        format!("({}, {}, {}, {})", self.b.capacity, self.t, self.h, self.d)
    }

    fn check(&self, kernel: &Kernel) -> Result<()> {
        check_heads(kernel, self.h, self.d)?;
        let (name, t) = (kernel.name, self.t);
        let fault = if self.b.capacity == 0 {
            "expected at least 1 sample, got 0; set AttentionShape::b".into()
        } else if self.queries() == 0 || u64::from(self.first()) + u64::from(self.queries()) > u64::from(t) {
            let positions = self.query_positions.clone().unwrap_or_default();
            format!("queries {positions:?} must be positions of 0..{t}, and at least one")
        } else if u64::from(self.offset()) + u64::from(t) > u64::from(self.stride()) {
            let (offset, stride) = (self.offset(), self.stride());
            format!("rows {offset}..{offset} + {t} must lie within {stride}")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Shape, format!("{name}: {fault}")))
    }

    fn check_whole(&self, kernel: &Kernel) -> Result<()> {
        self.check(kernel)?;
        if self.queries() != self.t || self.stride() != self.t {
            let message = format!(
                "{}: expected all {} positions as queries, got {} of every {} rows",
                kernel.name,
                self.t,
                self.queries(),
                self.stride()
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        Ok(())
    }
}

fn check_heads(kernel: &Kernel, h: u32, d: u32) -> Result<()> {
    if h == 0 || !(1..=128).contains(&d) {
        let message = format!("{}: expected heads ≥ 1 of width 1 to 128, got {h} of width {d}", kernel.name);
        return Err(Error::new(ErrorKind::Shape, message));
    }
    Ok(())
}

/// Maximum number of floats in the arrays of several queries of a lane.
const FLOATS: u32 = 128;

/// Number of queries (or keys) per invocation, whose arrays have `floats` floats at most if there are several. More of
/// them save loads but take registers, of which a lane of a GPU should use few. The order of every sum is the same for
/// any number.
fn tile(floats: u32, arrays: u32, d: u32, count: u32) -> u32 {
    let affordable = (floats / (arrays * d.next_multiple_of(4))).clamp(1, 4);
    // The largest of 1, 2 and 4 that fits into registers and does not exceed the count.
    let most = affordable.min(count).max(1);
    if most >= 4 {
        4
    } else if most >= 2 {
        2
    } else {
        1
    }
}

/// Same as [`tile`], for each lane of a cluster, which loads little. On software adapters two pay off for any width.
fn cluster_tile(gpu: &Gpu, arrays: u32, d: u32, count: u32) -> u32 {
    let arrays = if gpu.is_software() { 1 } else { arrays };
    tile(FLOATS, arrays, d, count.div_ceil(CLUSTER)).min(2)
}

/// Lanes per workgroup.
const LANES: u32 = 64;
/// Lanes of a cluster, which exchange keys and values by shuffles.
const CLUSTER: u32 = 8;

/// Subgroup strategy if a subgroup holds a cluster and the head width is a multiple of 4, otherwise scalar.
fn cluster(gpu: &Gpu, d: u32) -> Strategy {
    let holds = Strategy::lanes(gpu).is_some_and(|lanes| lanes >= CLUSTER) && d.is_multiple_of(4);
    if holds { Strategy::Subgroup } else { Strategy::Scalar }
}

/// Whether software adapters would take seconds to compile a scalar kernel for heads of this width.
fn compiles_long(gpu: &Gpu, d: u32) -> bool {
    gpu.is_software() && d > 32
}

/// Faster strategy. Both add in the same order. As measured on software adapters, clusters pay off if every lane has a
/// query and the shared keys are many or long.
fn choose(gpu: &Gpu, shape: &AttentionShape) -> Strategy {
    let pays = shape.queries() >= CLUSTER && u64::from(shape.t) * u64::from(shape.d) > 64;
    let several = shape.queries() > 1 && compiles_long(gpu, shape.d);
    if pays || several { cluster(gpu, shape.d) } else { Strategy::Scalar }
}

/// Selection of a rule for heads of width `d`. For each of `count` queries or keys, a lane of a cluster holds
/// `arrays[0]` arrays of the head width in registers, a scalar lane `arrays[1]`.
fn taken(gpu: &Gpu, strategy: Strategy, arrays: [u32; 2], d: u32, count: u32) -> Selection {
    let tile = match strategy {
        Strategy::Subgroup => cluster_tile(gpu, arrays[0], d, count),
        Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
            // With more, compilers of GPUs run out of registers.
            let floats = if gpu.is_software() { FLOATS } else { FLOATS / 2 };
            tile(floats, arrays[1], d, count)
        }
    };
    (strategy, tile, 1)
}

/// Maximum number of floats of a lane's queries, limited by registers and compile time.
const MOST_FLOATS: u32 = 256;

/// Rule for dropout where variants in workgroup memory do not run; `arrays` is that of a scalar lane of [`taken`].
fn with_dropout(gpu: &Gpu, arrays: u32, d: u32, count: u32) -> Selection {
    let (strategy, tile, subgroups) = taken(gpu, Strategy::Scalar, [arrays; 2], d, count);
    (strategy, if gpu.is_software() { tile } else { 1 }, subgroups)
}

/// Class of a shape with its dropout.
fn dropout_class(shape: &AttentionShape) -> String {
    let dropout = if shape.dropout.is_some() { ", dropout" } else { "" };
    format!("{}{dropout}", class(shape.t, shape.d))
}

/// Requirement of a variant that the head width does not meet.
fn head_requirement(d: u32, variant: &Variant) -> Option<String> {
    if variant.strategy == Strategy::Tiled {
        tiled::requirement(variant.tile, d, 1)
    } else if variant.strategy == Strategy::Subgroup && !d.is_multiple_of(4) {
        tiled::aligned(d)
    } else if variant.tile * d > MOST_FLOATS {
        Some(format!("heads of width {} at most, got {d}", MOST_FLOATS / variant.tile))
    } else {
        None
    }
}

/// Class of a shape: sequences up to 16, 64, 256, …, and head widths by powers of two, because register use depends on
/// them.
fn class(t: u32, d: u32) -> String {
    let t = (2..).map(|power| 4u32.saturating_pow(power)).find(|end| *end >= t).unwrap_or(u32::MAX);
    format!("T {t}, D {}", d.next_power_of_two())
}

/// Grid with a lane for every `variant.tile` of `count` queries or keys of each head, in clusters or scalar.
fn groups(samples: &Rows, count: u32, heads: u32, variant: &Variant) -> Groups {
    match variant.strategy {
        Strategy::Subgroup => samples.times(count.div_ceil(CLUSTER * variant.tile) * heads).groups(LANES / CLUSTER, 1),
        Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
            samples.times(count.div_ceil(variant.tile) * heads).groups(LANES, 1)
        }
    }
}

pub(in crate::kernels) fn scale(d: u32) -> Param {
    Param::F32((1.0 / f64::from(d).sqrt()) as f32)
}

/// Reference in f64 of one query over keys and values: output and log-sum-exp.
pub(in crate::kernels) fn attend(q: &[f64], keys: &[(&[f64], &[f64])]) -> (Vec<f64>, f64) {
    let scale = 1.0 / (q.len() as f64).sqrt();
    let dot = |k: &[f64]| scale * q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>();
    let scores: Vec<f64> = keys.iter().map(|(k, _)| dot(k)).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lse = largest + scores.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
    let mut out = vec![0.0; q.len()];
    for (score, (_, v)) in scores.iter().zip(keys) {
        out.iter_mut().zip(*v).for_each(|(out, v)| *out += (score - lse).exp() * v);
    }
    (out, lse)
}

/// Head `head` of third `third` (0 query, 1 key, 2 value) of a row of `qkv`.
fn part(qkv: &[f64], row: usize, third: usize, head: usize, h: usize, d: usize) -> &[f64] {
    &qkv[((3 * row + third) * h + head) * d..][..d]
}
