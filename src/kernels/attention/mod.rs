//! Softmax attention of H heads of width D, C = H·D: full, causal, one position at a time, and of changed suffixes.
//!
//! ```text
//! forward           out_i = Σ_j p_ij v_j     p_ij = exp(q_i · k_j / √D − lse_i)     lse_i = log Σ_j exp(q_i · k_j / √D)
//! query gradient    d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) k_j / √D                 δ_i   = d_out_i · out_i
//! key gradient      d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) q_i / √D
//! value gradient    d_v_j = Σ_i p_ij d_out_i
//! ```
//!
//! A row of `qkv` is [q | k | v], head h owning columns h·D..(h+1)·D of each third; sample b at position t is row b·T + t.
//! This buffer of a layer is also its cache of keys and values: decoding writes one position's rows a step into it.
//! Causal sums run over j ≤ i, others over all T. Vaswani et al., arXiv:1706.03762; backward as Dao et al.,
//! arXiv:2205.14135, appendix B.

mod backward;
mod forward;
pub mod linear;
pub mod relative;
mod suffix;
mod weights;

use super::RandomInputs;
use super::choice::{Form, Forms, Taken};
use super::linear::Variant;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Groups, Kernel, LiveRows, Param, Rows, View};

pub use backward::{AttentionBackward, backward_reference};
pub(super) use backward::{BACKWARD_KEY_CHOICE, BACKWARD_QUERY_CHOICE, BACKWARD_SHORT_CHOICE};
pub(super) use backward::{
    BACKWARD_KEY_ENTRY, BACKWARD_KEY_PRIVATE_ENTRY, BACKWARD_QUERY_ENTRY, BACKWARD_QUERY_PRIVATE_ENTRY,
    BACKWARD_SHORT_ENTRY,
};
pub(super) use forward::FORWARD_CHOICE;
pub use forward::{AttentionForward, forward_reference};
pub(super) use forward::{FORWARD_ENTRY, FORWARD_PRIVATE_ENTRY};
pub(super) use suffix::SUFFIX_CHOICE;
pub use suffix::{AttentionSuffix, SuffixShape, suffix_reference};
pub(super) use suffix::{SUFFIX_ENTRY, SUFFIX_PRIVATE_ENTRY};
pub(super) use weights::WEIGHTS_ENTRY;
pub use weights::{AttentionWeights, WeightsOf, weights_reference};

/// Shape of full, causal and one-position attention.
#[derive(Debug, Clone)]
pub struct AttentionShape {
    /// Samples B. Where the GPU counts them, an item is a sample.
    pub b: Rows,
    /// Positions T of a sample.
    pub t: u32,
    /// Heads.
    pub h: u32,
    /// Width of a head, 1 to 128.
    pub d: u32,
    /// Whether position i sees only positions up to i.
    pub causal: bool,
    /// Position of the first query; 0 in backward passes.
    pub first: u32,
    /// Queries n of a sample; T in backward passes.
    pub queries: u32,
    /// Rows from one sample to the next; T in backward passes.
    pub stride: u32,
    /// Row of the first sample's first position; 0 in backward passes.
    pub offset: u32,
}

impl AttentionShape {
    /// Every position attends to every position.
    pub fn full(b: impl Into<Rows>, t: u32, h: u32, d: u32) -> Self {
        Self { b: b.into(), t, h, d, causal: false, first: 0, queries: t, stride: t, offset: 0 }
    }

    /// Every position attends to itself and those before.
    pub fn causal(b: impl Into<Rows>, t: u32, h: u32, d: u32) -> Self {
        Self { causal: true, ..Self::full(b, t, h, d) }
    }

    /// Position `position` attends to itself and those before, one step of decoding.
    pub fn decode(b: impl Into<Rows>, t: u32, h: u32, d: u32, position: u32) -> Self {
        Self { first: position, queries: 1, ..Self::causal(b, t, h, d) }
    }

    /// The same where a sample is a part of longer ones: its positions are rows `offset ..` of `stride`.
    pub fn within(self, stride: u32, offset: u32) -> Self {
        Self { stride, offset, ..self }
    }

    fn width(&self) -> u64 {
        u64::from(self.h) * u64::from(self.d)
    }

    fn rows(&self) -> u64 {
        u64::from(self.b.most) * u64::from(self.t)
    }

    /// Rows of the buffer that the samples lie in.
    fn buffer_rows(&self) -> u64 {
        u64::from(self.b.most.saturating_sub(1)) * u64::from(self.stride) + u64::from(self.offset + self.t)
    }

    fn query_rows(&self) -> u64 {
        u64::from(self.b.most) * u64::from(self.queries)
    }

    /// Pairs of a query and a key over all samples and heads.
    fn pairs(&self) -> f64 {
        let (n, first) = (f64::from(self.queries), f64::from(self.first));
        let of_sample = if self.causal { n * (first + (n + 1.0) / 2.0) } else { n * f64::from(self.t) };
        f64::from(self.b.most) * f64::from(self.h) * of_sample
    }

    fn text(&self) -> String {
        format!("({}, {}, {}, {})", self.b.most, self.t, self.h, self.d)
    }

    fn check(&self, kernel: &Kernel) -> Result<()> {
        check_heads(kernel, self.h, self.d)?;
        if self.queries == 0 || u64::from(self.first) + u64::from(self.queries) > u64::from(self.t) {
            let (first, n, t) = (self.first, self.queries, self.t);
            let message = format!("{}: queries {first}..{first} + {n} must lie within {t} positions", kernel.name);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        if u64::from(self.offset) + u64::from(self.t) > u64::from(self.stride) {
            let (offset, t, stride) = (self.offset, self.t, self.stride);
            let message = format!("{}: rows {offset}..{offset} + {t} must lie within {stride}", kernel.name);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        Ok(())
    }

    fn check_whole(&self, kernel: &Kernel) -> Result<()> {
        self.check(kernel)?;
        if self.queries != self.t || self.stride != self.t {
            let message = format!(
                "{}: needs all {} positions as queries, got {} of every {} rows",
                kernel.name, self.t, self.queries, self.stride
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

/// Queries (or keys) that an invocation holds: more save loads, fewer registers of a lane is what GPUs need. The order
/// of every sum is the same for all.
fn tile(arrays: u32, d: u32, count: u32) -> u32 {
    let affordable = (128 / (arrays * d.next_multiple_of(4))).clamp(1, 4);
    // The largest of 1, 2 and 4 that registers afford and the count fills.
    let most = affordable.min(count).max(1);
    if most >= 4 {
        4
    } else if most >= 2 {
        2
    } else {
        1
    }
}

/// The same for each lane of a team of a subgroup, which loads little: two pay off on software adapters of any width.
fn team_tile(gpu: &Gpu, arrays: u32, d: u32, count: u32) -> u32 {
    let arrays = if gpu.is_software() { 1 } else { arrays };
    tile(arrays, d, count.div_ceil(TEAM)).min(2)
}

/// Lanes of a workgroup.
const LANES: u32 = 64;
/// Lanes that pass keys and values round.
const TEAM: u32 = 8;

/// By subgroups where they hold a team and heads are whole vec4s.
fn team(gpu: &Gpu, d: u32) -> Variant {
    let holds = Variant::lanes(gpu).is_some_and(|lanes| lanes >= TEAM) && d.is_multiple_of(4);
    if holds { Variant::Subgroup } else { Variant::Private }
}

/// Whether software adapters would take seconds to compile heads of this width for a lane on its own.
fn compiles_long(gpu: &Gpu, d: u32) -> bool {
    gpu.is_software() && d > 32
}

/// The faster variant. Both add in the same order; teams pay off, as measured on software adapters, where every lane
/// has a query and the keys to share are many or long.
fn choose(gpu: &Gpu, shape: &AttentionShape) -> Variant {
    let pays = shape.queries >= TEAM && u64::from(shape.t) * u64::from(shape.d) > 64;
    let several = shape.queries > 1 && compiles_long(gpu, shape.d);
    if pays || several { team(gpu, shape.d) } else { Variant::Private }
}

/// What a rule takes for heads of width `d`, where a lane of a team holds `arrays[0]` rows of registers for each of
/// `count` queries or keys, a lane on its own `arrays[1]`.
fn taken(gpu: &Gpu, variant: Variant, arrays: [u32; 2], d: u32, count: u32) -> Taken {
    let tile = match variant {
        Variant::Subgroup => team_tile(gpu, arrays[0], d, count),
        Variant::Private | Variant::Shared | Variant::Panel => tile(arrays[1], d, count),
    };
    (variant, tile, 1)
}

/// Queries or keys of a lane, in a team and on its own.
const FORMS: &[Form] = &[
    Form::subgroup("team1", 1, 1),
    Form::subgroup("team2", 2, 1),
    Form::private("private1", 1),
    Form::private("private2", 2),
    Form::private("private4", 4),
];

const fn forms(kernel: &'static str) -> Forms {
    Forms { kernel, least_lanes: TEAM, all: FORMS }
}

/// Floats of a lane's queries that registers and compile time afford.
const MOST_FLOATS: u32 = 256;

/// What a form needs of the width of a head.
fn head_needs(d: u32, form: &Form) -> Option<String> {
    if form.variant == Variant::Subgroup && !d.is_multiple_of(4) {
        Some(format!("heads whose width is a multiple of 4, got {d}"))
    } else if form.tile * d > MOST_FLOATS {
        Some(format!("heads of width {} at most, got {d}", MOST_FLOATS / form.tile))
    } else {
        None
    }
}

/// Sequences up to 16, 64, 256, …; widths of heads by powers of two, because registers depend on them.
fn class(t: u32, d: u32) -> String {
    let t = (2..).map(|power| 4u32.saturating_pow(power)).find(|end| *end >= t).unwrap_or(u32::MAX);
    format!("T {t}, D {}", d.next_power_of_two())
}

/// The grid that has a lane for each of `count` queries or keys of every head, `form.tile` of them to a lane; in teams or
/// each on its own.
fn groups(samples: &Rows, count: u32, heads: u32, form: &Form) -> Groups {
    match form.variant {
        Variant::Subgroup => samples.times(count.div_ceil(TEAM * form.tile) * heads).groups(LANES / TEAM, 1),
        Variant::Private | Variant::Shared | Variant::Panel => {
            samples.times(count.div_ceil(form.tile) * heads).groups(LANES, 1)
        }
    }
}

fn scale(d: u32) -> Param {
    Param::F32((1.0 / f64::from(d).sqrt()) as f32)
}

/// Attention of one query over given keys and values in f64: its output and its log-sum-exp.
fn attend(q: &[f64], keys: &[(&[f64], &[f64])]) -> (Vec<f64>, f64) {
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

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// A window on a live count of samples or items of which three more exist before it.
fn window(live: View, most: u32) -> LiveRows {
    LiveRows::new(live, 3, most, 1)
}

/// Scores of a few units, so that the softmax is neither flat nor one key alone.
fn random_qkv(random: &mut RandomInputs, count: usize) -> Vec<f32> {
    random.floats(count).into_iter().map(|v| 3.0 * v).collect()
}
