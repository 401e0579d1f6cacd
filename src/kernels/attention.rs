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

use std::ops::Range;

use super::linear::Variant;
use super::{Case, Entry, Expected, Named, RandomInputs, kernel};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Param, Plan, Rows, View};

static FORWARD: Kernel = kernel!("attention_forward");
static FORWARD_PRIVATE: Kernel = kernel!("attention_forward_private");
static BACKWARD_QUERY: Kernel = kernel!("attention_backward_query");
static BACKWARD_QUERY_PRIVATE: Kernel = kernel!("attention_backward_query_private");
static BACKWARD_KEY: Kernel = kernel!("attention_backward_key");
static BACKWARD_KEY_PRIVATE: Kernel = kernel!("attention_backward_key_private");
static BACKWARD_SHORT: Kernel = kernel!("attention_backward_short");
static SUFFIX: Kernel = kernel!("attention_suffix");
static SUFFIX_PRIVATE: Kernel = kernel!("attention_suffix_private");

pub(super) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = softmax(q kᵀ / √D) v", cases: forward_cases };
pub(super) const FORWARD_PRIVATE_ENTRY: Entry = Entry {
    kernel: &FORWARD_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: forward_private_cases,
};
pub(super) const BACKWARD_QUERY_ENTRY: Entry =
    Entry { kernel: &BACKWARD_QUERY, summary: "d_q = p ∘ (d_out vᵀ − δ) k / √D", cases: backward_query_cases };
pub(super) const BACKWARD_QUERY_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_query_private_cases,
};
pub(super) const BACKWARD_KEY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY,
    summary: "d_k = (p ∘ (d_out vᵀ − δ))ᵀ q / √D, d_v = pᵀ d_out",
    cases: backward_key_cases,
};
pub(super) const BACKWARD_KEY_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_key_private_cases,
};
pub(super) const BACKWARD_SHORT_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SHORT,
    summary: "d_q, d_k and d_v in one pass, for short sequences",
    cases: backward_short_cases,
};
pub(super) const SUFFIX_ENTRY: Entry =
    Entry { kernel: &SUFFIX, summary: "attention of changed suffixes over a shared prefix", cases: suffix_cases };
pub(super) const SUFFIX_PRIVATE_ENTRY: Entry = Entry {
    kernel: &SUFFIX_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: suffix_private_cases,
};

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
}

impl AttentionShape {
    /// Every position attends to every position.
    pub fn full(b: impl Into<Rows>, t: u32, h: u32, d: u32) -> Self {
        Self { b: b.into(), t, h, d, causal: false, first: 0, queries: t }
    }

    /// Every position attends to itself and those before.
    pub fn causal(b: impl Into<Rows>, t: u32, h: u32, d: u32) -> Self {
        Self { causal: true, ..Self::full(b, t, h, d) }
    }

    /// Position `position` attends to itself and those before, one step of decoding.
    pub fn decode(b: impl Into<Rows>, t: u32, h: u32, d: u32, position: u32) -> Self {
        Self { first: position, queries: 1, ..Self::causal(b, t, h, d) }
    }

    fn width(&self) -> u64 {
        u64::from(self.h) * u64::from(self.d)
    }

    fn rows(&self) -> u64 {
        u64::from(self.b.most) * u64::from(self.t)
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
        Ok(())
    }

    fn check_whole(&self, kernel: &Kernel) -> Result<()> {
        self.check(kernel)?;
        if self.queries != self.t {
            let message = format!("{}: needs all {} positions as queries, got {}", kernel.name, self.t, self.queries);
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
    match Variant::choose(gpu, &[d]) {
        Variant::Subgroup(lanes) if lanes >= TEAM => Variant::Subgroup(lanes),
        _ => Variant::Private,
    }
}

/// The faster variant. Both add in the same order; teams pay off, as measured on software adapters, where every lane
/// has a query and the keys to share are many or long.
fn choose(gpu: &Gpu, shape: &AttentionShape) -> Variant {
    let pays = shape.queries >= TEAM && u64::from(shape.t) * u64::from(shape.d) > 64;
    if pays { team(gpu, shape.d) } else { Variant::Private }
}

/// Positions up to which one team goes through a whole sequence in a backward pass; longer ones are shared among teams.
const SHORT: u32 = 256;

/// Whether the backward pass is one kernel: for heads whose gradients fit into registers, where teams pay off.
fn is_short(gpu: &Gpu, shape: &AttentionShape) -> bool {
    (TEAM..=SHORT).contains(&shape.t) && shape.d <= 32 && matches!(choose(gpu, shape), Variant::Subgroup(_))
}

/// The same for suffixes, whose teams also go over rows of other sequences.
fn choose_suffix(gpu: &Gpu, shape: &SuffixShape) -> Variant {
    let pays = shape.t >= 2 * TEAM && shape.d >= 8;
    if pays { team(gpu, shape.d) } else { Variant::Private }
}

/// Attention forward, see the module's page.
#[derive(Debug, Clone)]
pub struct AttentionForward {
    /// (B·T, 3C)
    pub qkv: View,
    /// (B·n, C)
    pub out: View,
    /// (B·n, H), natural logarithm of the sum of exponentials, for the backward pass
    pub lse: View,
}

impl AttentionForward {
    /// Records the kernel, by subgroups where that is possible and faster.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for heads wider than 128 or queries outside the positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        let variant = choose(plan.gpu(), shape);
        self.record_variant(plan, shape, variant)
    }

    /// Records a given variant.
    ///
    /// # Errors
    /// As [`AttentionForward::record`].
    pub fn record_variant(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        shape.check(&FORWARD)?;
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "out", view: &self.out, elements: query_rows * width },
            Bind { name: "lse", view: &self.lse, elements: query_rows * heads },
        ];
        let (kernel, queries, groups) = match variant {
            Variant::Subgroup(_) => {
                let queries = team_tile(plan.gpu(), 3, shape.d, shape.queries);
                let teams = shape.queries.div_ceil(TEAM * queries) * shape.h;
                (&FORWARD, queries, shape.b.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                let queries = tile(2, shape.d, shape.queries);
                let lanes = shape.queries.div_ceil(queries) * shape.h;
                (&FORWARD_PRIVATE, queries, shape.b.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries)],
            bindings: &bindings,
            params: &[
                ("samples", shape.b.most.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("first", shape.first.into()),
                ("queries", shape.queries.into()),
                ("causal", u32::from(shape.causal).into()),
                ("scale", scale(shape.d)),
            ],
            groups,
            cost: Cost {
                flops: 4.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (2 * rows * width + query_rows * (2 * width + heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

fn scale(d: u32) -> Param {
    Param::F32((1.0 / f64::from(d).sqrt()) as f32)
}

/// Attention backward, see the module's page: `attention_backward_short`, or for long sequences and wide heads
/// `attention_backward_query` and then `attention_backward_key`.
#[derive(Debug, Clone)]
pub struct AttentionBackward {
    /// (B·T, 3C)
    pub qkv: View,
    /// (B·T, C) from the forward pass
    pub out: View,
    /// (B·T, H) from the forward pass
    pub lse: View,
    /// (B·T, C)
    pub d_out: View,
    /// (B·T, H), scratch for δ
    pub delta: View,
    /// (B·T, 3C)
    pub d_qkv: View,
}

impl AttentionBackward {
    /// Records the one kernel for short sequences or both others, by subgroups where that is possible and faster.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for heads wider than 128 or a shape whose queries are not all positions; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        if is_short(plan.gpu(), shape) {
            return self.record_short(plan, shape);
        }
        let variant = choose(plan.gpu(), shape);
        self.record_variant(plan, shape, variant)
    }

    /// Records a given variant of the two kernels that go over sequences of any length.
    ///
    /// # Errors
    /// As [`AttentionBackward::record`].
    pub fn record_variant(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        self.record_query(plan, shape, variant)?;
        self.record_key(plan, shape, variant)
    }

    fn params(shape: &AttentionShape) -> [(&'static str, Param); 5] {
        [
            ("samples", shape.b.most.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
        ]
    }

    fn record_short(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        shape.check_whole(&BACKWARD_SHORT)?;
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        // Two keys to a lane halve what is loaded, and are half idle in the first block of a causal sequence.
        let keys = if plan.gpu().is_software() && shape.t > 2 * TEAM { 2 } else { 1 };
        plan.launch(&Launch {
            kernel: &BACKWARD_SHORT,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", keys)],
            bindings: &[
                Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
                Bind { name: "out", view: &self.out, elements: rows * width },
                Bind { name: "lse", view: &self.lse, elements: rows * heads },
                Bind { name: "d_out", view: &self.d_out, elements: rows * width },
                Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
                Bind { name: "delta", view: &self.delta, elements: rows * heads },
            ],
            params: &Self::params(shape),
            groups: shape.b.times(shape.h).groups(LANES / TEAM, 1),
            cost: Cost {
                flops: 10.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (8 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        shape.check_whole(&BACKWARD_QUERY)?;
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "out", view: &self.out, elements: rows * width },
            Bind { name: "lse", view: &self.lse, elements: rows * heads },
            Bind { name: "d_out", view: &self.d_out, elements: rows * width },
            Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
            Bind { name: "delta", view: &self.delta, elements: rows * heads },
        ];
        let (kernel, queries, groups) = match variant {
            Variant::Subgroup(_) => {
                let queries = team_tile(plan.gpu(), 5, shape.d, shape.t);
                let teams = shape.t.div_ceil(TEAM * queries) * shape.h;
                (&BACKWARD_QUERY, queries, shape.b.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                let queries = tile(3, shape.d, shape.t);
                let lanes = shape.t.div_ceil(queries) * shape.h;
                (&BACKWARD_QUERY_PRIVATE, queries, shape.b.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups,
            cost: Cost {
                flops: 6.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, variant: Variant) -> Result<()> {
        shape.check_whole(&BACKWARD_KEY)?;
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "d_out", view: &self.d_out, elements: rows * width },
            Bind { name: "lse", view: &self.lse, elements: rows * heads },
            Bind { name: "delta", view: &self.delta, elements: rows * heads },
            Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
        ];
        let (kernel, keys, groups) = match variant {
            Variant::Subgroup(_) => {
                let keys = team_tile(plan.gpu(), 6, shape.d, shape.t);
                let teams = shape.t.div_ceil(TEAM * keys) * shape.h;
                (&BACKWARD_KEY, keys, shape.b.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                bindings.push(Bind { name: "d_out4", view: &self.d_out, elements: rows * width });
                let keys = tile(4, shape.d, shape.t);
                let lanes = shape.t.div_ceil(keys) * shape.h;
                (&BACKWARD_KEY_PRIVATE, keys, shape.b.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", keys)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups,
            cost: Cost {
                flops: 8.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Attention of changed suffixes of sequences over the unchanged prefix of their base sample.
///
/// Packed row r = u·per_item + k belongs to item u. `row_table` gives for each k the first changed position s and the
/// position p ≥ s of the row; the rows of a sequence follow each other from p = s on. Keys and values for j < s come
/// from the base sample, those for s ≤ j ≤ p from the packed rows.
#[derive(Debug, Clone)]
pub struct AttentionSuffix {
    /// (B·T, 3C) of the base samples
    pub base_qkv: View,
    /// (items·per_item, 3C)
    pub qkv: View,
    /// Base sample of item `first_item` + u, u32 (first_item + items)
    pub base: View,
    /// (per_item, 2), u32: s, p
    pub row_table: View,
    /// (items·per_item, C)
    pub out: View,
}

/// Shape of an [`AttentionSuffix`].
#[derive(Debug, Clone)]
pub struct SuffixShape {
    /// Items of this launch, each of `per_item` packed rows; count them on the GPU with one row per item.
    pub items: Rows,
    /// Packed rows of an item.
    pub per_item: u32,
    /// Item 0 of this launch is this one in `base`.
    pub first_item: u32,
    /// Base samples B.
    pub b: u32,
    /// Positions T of a sample.
    pub t: u32,
    /// Heads.
    pub h: u32,
    /// Width of a head, 1 to 128.
    pub d: u32,
}

impl AttentionSuffix {
    /// Records the kernel, by subgroups where that is possible and faster.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for heads wider than 128; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SuffixShape) -> Result<()> {
        let variant = choose_suffix(plan.gpu(), shape);
        self.record_variant(plan, shape, variant)
    }

    /// Records a given variant.
    ///
    /// # Errors
    /// As [`AttentionSuffix::record`].
    pub fn record_variant(&self, plan: &mut Plan, shape: &SuffixShape, variant: Variant) -> Result<()> {
        check_heads(&SUFFIX, shape.h, shape.d)?;
        let width = u64::from(shape.h) * u64::from(shape.d);
        let base_elements = u64::from(shape.b) * u64::from(shape.t) * 3 * width;
        let rows = u64::from(shape.items.most) * u64::from(shape.per_item);
        let items = u64::from(shape.first_item) + u64::from(shape.items.most);
        let mut bindings = vec![
            Bind { name: "base_qkv", view: &self.base_qkv, elements: base_elements },
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "base", view: &self.base, elements: items },
            Bind { name: "row_table", view: &self.row_table, elements: 2 * u64::from(shape.per_item) },
            Bind { name: "out", view: &self.out, elements: rows * width },
        ];
        let (kernel, queries, groups) = match variant {
            Variant::Subgroup(_) => {
                let queries = team_tile(plan.gpu(), 3, shape.d, shape.per_item);
                let teams = shape.per_item.div_ceil(TEAM * queries) * shape.h;
                (&SUFFIX, queries, shape.items.times(teams).groups(LANES / TEAM, 1))
            }
            Variant::Private => {
                bindings.push(Bind { name: "base_qkv4", view: &self.base_qkv, elements: base_elements });
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                let queries = tile(2, shape.d, shape.per_item);
                let lanes = shape.per_item.div_ceil(queries) * shape.h;
                (&SUFFIX_PRIVATE, queries, shape.items.times(lanes).groups(LANES, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries)],
            bindings: &bindings,
            params: &[
                ("items", shape.items.most.into()),
                ("per_item", shape.per_item.into()),
                ("first_item", shape.first_item.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("scale", scale(shape.d)),
            ],
            groups,
            // The table is on the GPU: as if every row stood in the middle of its sequence.
            cost: Cost {
                flops: 2.0 * (rows * width) as f64 * f64::from(shape.t),
                bytes: 4.0 * (base_elements + rows * 4 * width) as f64,
            },
            shape: format!("({}, {}, {}, {}, {})", shape.items.most, shape.per_item, shape.t, shape.h, shape.d),
        })
    }
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

/// out (B·n, C) and lse (B·n, H) in f64.
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.most as usize {
        for position in shape.first as usize..(shape.first + shape.queries) as usize {
            let keys = if shape.causal { position + 1 } else { t };
            for head in 0..h {
                let at = |j: usize, third| part(qkv, sample * t + j, third, head, h, d);
                let keys: Vec<_> = (0..keys).map(|j| (at(j, 1), at(j, 2))).collect();
                let (row, total) = attend(at(position, 0), &keys);
                out.extend(row);
                lse.push(total);
            }
        }
    }
    (out, lse)
}

/// d_qkv (B·T, 3C) and delta (B·T, H) in f64.
pub fn backward_reference(qkv: &[f64], d_out: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, lse) = forward_reference(qkv, shape);
    let scale = 1.0 / (d as f64).sqrt();
    let mut d_qkv = vec![0.0; qkv.len()];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let head_of = |values: &'_ [f64], row: usize, head: usize| values[(row * h + head) * d..][..d].to_vec();
    let mut delta = Vec::new();
    for row in 0..shape.b.most as usize * t {
        let (first, position) = (row - row % t, row % t);
        let end = first + if shape.causal { position + 1 } else { t };
        for head in 0..h {
            let (q, slope) = (part(qkv, row, 0, head, h, d), head_of(d_out, row, head));
            let product = dot(&slope, &head_of(&out, row, head));
            delta.push(product);
            for key in first..end {
                let (k, v) = (part(qkv, key, 1, head, h, d), part(qkv, key, 2, head, h, d));
                let p = (scale * dot(q, k) - lse[row * h + head]).exp();
                let d_score = scale * p * (dot(&slope, v) - product);
                for c in 0..d {
                    d_qkv[(3 * row * h + head) * d + c] += d_score * k[c];
                    d_qkv[((3 * key + 1) * h + head) * d + c] += d_score * q[c];
                    d_qkv[((3 * key + 2) * h + head) * d + c] += p * slope[c];
                }
            }
        }
    }
    (d_qkv, delta)
}

/// out (items·per_item, C) of an [`AttentionSuffix`] in f64; `base` begins at the launch's first item.
pub fn suffix_reference(
    base_qkv: &[f64],
    qkv: &[f64],
    base: &[u32],
    row_table: &[[u32; 2]],
    shape: &SuffixShape,
) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let mut out = Vec::new();
    for row in 0..(shape.items.most * shape.per_item) as usize {
        let (item, k) = (row / shape.per_item as usize, row % shape.per_item as usize);
        let [start, position] = row_table[k].map(|v| v as usize);
        for head in 0..h {
            let at = |j: usize, third| {
                if j < start {
                    part(base_qkv, base[item] as usize * t + j, third, head, h, d)
                } else {
                    part(qkv, row - (position - j), third, head, h, d)
                }
            };
            let keys: Vec<_> = (0..=position).map(|j| (at(j, 1), at(j, 2))).collect();
            out.extend(attend(at(position, 0), &keys).0);
        }
    }
    out
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

/// (B, T, H, D), first query, number of queries.
type ForwardCase = ([u32; 4], u32, u32);

fn forward_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 9] = [
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([2, 33, 1, 20], 0, 33),
        ([1, 70, 2, 64], 0, 70),
        ([3, 23, 3, 4], 2, 19),
        ([65, 16, 4, 8], 15, 1),
        ([3, 8, 3, 8], 0, 8),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    match team(gpu, 4) {
        Variant::Private => Vec::new(),
        variant => both_masks(variant, &shapes),
    }
}

fn forward_private_cases(_: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 11] = [
        ([1, 1, 1, 1], 0, 1),
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([1, 70, 2, 20], 0, 70),
        ([1, 9, 1, 66], 0, 9),
        ([2, 13, 5, 3], 0, 13),
        ([3, 7, 3, 6], 2, 3),
        ([65, 16, 4, 8], 15, 1),
        ([3, 16, 4, 8], 0, 1),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    both_masks(Variant::Private, &shapes)
}

fn both_masks(variant: Variant, shapes: &[ForwardCase]) -> Vec<Case> {
    shapes.iter().flat_map(|shape| [true, false].map(|causal| forward_case(variant, *shape, causal))).collect()
}

/// Scores of a few units, so that the softmax is neither flat nor one key alone.
fn random_qkv(random: &mut RandomInputs, count: usize) -> Vec<f32> {
    random.floats(count).into_iter().map(|v| 3.0 * v).collect()
}

fn forward_case(variant: Variant, ([b, t, h, d], first, queries): ForwardCase, causal: bool) -> Case {
    let shape = AttentionShape { causal, first, queries, ..AttentionShape::full(b, t, h, d) };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let name = format!("({b}, {t}, {h}, {d}) queries {first} + {queries} causal {causal}");
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionForward { qkv: named.view("qkv")?, out: named.view("out")?, lse: named.view("lse")? };
        attention.record_variant(plan, &shape, variant)
    };
    Case {
        name,
        inputs: vec![("qkv", qkv.into())],
        outputs: vec![
            ("out", Expected::Near { values: out, tolerance: 3e-6 }),
            ("lse", Expected::Near { values: lse, tolerance: 3e-6 }),
        ],
        record: Box::new(record),
    }
}

const TEAM_SHAPES: [[u32; 4]; 6] =
    [[1, 1, 1, 4], [2, 17, 3, 8], [4, 16, 2, 16], [1, 67, 2, 20], [3, 8, 3, 8], [66_000, 1, 1, 4]];
const SHORT_SHAPES: [[u32; 4]; 16] = [
    [1, 1, 1, 4],
    [3, 2, 3, 4],
    [2, 7, 3, 8],
    [4, 8, 2, 16],
    [3, 9, 3, 4],
    [2, 15, 3, 16],
    [5, 16, 2, 16],
    [2, 17, 3, 8],
    [1, 33, 3, 4],
    [1, 64, 2, 16],
    [1, 67, 2, 20],
    [2, 21, 1, 12],
    [1, 26, 2, 32],
    [2, 13, 1, 28],
    [1, 144, 1, 8],
    [66_000, 1, 1, 4],
];
const PRIVATE_SHAPES: [[u32; 4]; 6] =
    [[1, 1, 1, 1], [3, 5, 2, 4], [2, 17, 3, 8], [1, 37, 2, 20], [2, 13, 5, 3], [66_000, 1, 1, 4]];

fn backward_query_cases(gpu: &Gpu) -> Vec<Case> {
    team_cases(gpu, &TEAM_SHAPES, AttentionBackward::record_query, 0..1)
}

fn backward_query_private_cases(_: &Gpu) -> Vec<Case> {
    backward_cases(&PRIVATE_SHAPES, Variant::Private, AttentionBackward::record_query, 0..1)
}

fn backward_key_cases(gpu: &Gpu) -> Vec<Case> {
    team_cases(gpu, &TEAM_SHAPES, AttentionBackward::record_key, 1..3)
}

fn backward_key_private_cases(_: &Gpu) -> Vec<Case> {
    backward_cases(&PRIVATE_SHAPES, Variant::Private, AttentionBackward::record_key, 1..3)
}

fn backward_short_cases(gpu: &Gpu) -> Vec<Case> {
    team_cases(gpu, &SHORT_SHAPES, |attention, plan, shape, _| attention.record_short(plan, shape), 0..3)
}

type RecordBackward = fn(&AttentionBackward, &mut Plan, &AttentionShape, Variant) -> Result<()>;

fn team_cases(gpu: &Gpu, shapes: &[[u32; 4]], record: RecordBackward, thirds: Range<usize>) -> Vec<Case> {
    match team(gpu, 4) {
        Variant::Private => Vec::new(),
        variant => backward_cases(shapes, variant, record, thirds),
    }
}

fn backward_cases(shapes: &[[u32; 4]], variant: Variant, record: RecordBackward, thirds: Range<usize>) -> Vec<Case> {
    let both =
        |shape: &[u32; 4]| [true, false].map(|causal| backward_case(*shape, causal, variant, record, thirds.clone()));
    shapes.iter().flat_map(both).collect()
}

/// A kernel on a window of samples that the GPU counts. It makes some thirds of the rows of d_qkv and must leave the
/// others as they were; the one that makes the first also makes delta.
fn backward_case(
    [b, t, h, d]: [u32; 4],
    causal: bool,
    variant: Variant,
    record: RecordBackward,
    thirds: Range<usize>,
) -> Case {
    let shape = AttentionShape { causal, ..AttentionShape::full(b, t, h, d) };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let d_out = random.floats((b * t * h * d) as usize);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let (mut d_qkv, delta) = backward_reference(&wide(&qkv), &wide(&d_out), &shape);
    let before = random.floats(d_qkv.len());
    let width = (h * d) as usize;
    for (at, value) in d_qkv.iter_mut().enumerate() {
        if !thirds.contains(&(at % (3 * width) / width)) {
            *value = f64::from(before[at]);
        }
    }
    let near = |values| Expected::Near { values, tolerance: 1e-5 };
    let mut inputs = vec![
        ("qkv", qkv.into()),
        ("out", narrow(&out).into()),
        ("lse", narrow(&lse).into()),
        ("d_out", d_out.into()),
        ("d_qkv", before.into()),
        ("live", vec![b + 3].into()),
    ];
    let mut outputs = vec![("d_qkv", near(d_qkv))];
    if thirds.start == 0 {
        outputs.push(("delta", near(delta)));
    } else {
        inputs.push(("delta", narrow(&delta).into()));
    }
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionBackward {
            qkv: named.view("qkv")?,
            out: named.view("out")?,
            lse: named.view("lse")?,
            d_out: named.view("d_out")?,
            delta: named.view("delta")?,
            d_qkv: named.view("d_qkv")?,
        };
        let live = window(named.view("live")?, b);
        plan.resolve_grids(&live.live)?;
        record(&attention, plan, &AttentionShape { b: live.into(), ..shape.clone() }, variant)
    };
    Case { name: format!("({b}, {t}, {h}, {d}) causal {causal}"), inputs, outputs, record: Box::new(record) }
}

/// First changed position and changed rows of each sequence.
const TABLES: [&[[u32; 2]]; 4] = [
    &[[0, 1]],
    &[[1, 4], [2, 3], [4, 1], [0, 5]],
    &[[0, 3], [3, 2], [4, 1], [4, 1], [4, 1], [3, 1], [1, 2], [2, 3]],
    &[[5, 11], [0, 16], [15, 1], [15, 1], [7, 2], [9, 4]],
];

fn suffix_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        ([1, 1, 4], 1, 0),
        ([5, 2, 4], 7, 1),
        ([5, 3, 8], 5, 2),
        ([16, 2, 16], 9, 3),
        ([16, 3, 8], 2, 3),
        ([5, 1, 4], 30_000, 1),
    ];
    match team(gpu, 4) {
        Variant::Private => Vec::new(),
        variant => shapes.map(|(shape, items, table)| suffix_case(variant, shape, items, TABLES[table])).into(),
    }
}

fn suffix_private_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [
        ([1, 1, 1], 1, 0),
        ([5, 2, 4], 7, 1),
        ([5, 3, 6], 5, 2),
        ([16, 2, 8], 9, 3),
        ([16, 1, 20], 2, 3),
        ([5, 1, 4], 30_000, 1),
    ];
    shapes.map(|(shape, items, table)| suffix_case(Variant::Private, shape, items, TABLES[table])).into()
}

fn suffix_case(variant: Variant, [t, h, d]: [u32; 3], items: u32, sequences: &[[u32; 2]]) -> Case {
    let row_table: Vec<[u32; 2]> =
        sequences.iter().flat_map(|[start, rows]| (0..*rows).map(move |i| [*start, start + i])).collect();
    let (b, per_item, first_item) = (items.min(11), row_table.len() as u32, 2);
    let mut random = RandomInputs::new(u64::from(items * 31 + t * 7 + h * 3 + d));
    let base_qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let qkv = random_qkv(&mut random, (items * per_item * 3 * h * d) as usize);
    let base = random.integers((first_item + items) as usize, b);
    let shape = SuffixShape { items: items.into(), per_item, first_item, b, t, h, d };
    let here = &base[first_item as usize..];
    let out = suffix_reference(&wide(&base_qkv), &wide(&qkv), here, &row_table, &shape);
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionSuffix {
            base_qkv: named.view("base_qkv")?,
            qkv: named.view("qkv")?,
            base: named.view("base")?,
            row_table: named.view("row_table")?,
            out: named.view("out")?,
        };
        let live = window(named.view("live")?, items);
        plan.resolve_grids(&live.live)?;
        attention.record_variant(plan, &SuffixShape { items: live.into(), ..shape.clone() }, variant)
    };
    Case {
        name: format!("({t}, {h}, {d}), {items} items of {per_item} rows"),
        inputs: vec![
            ("base_qkv", base_qkv.into()),
            ("qkv", qkv.into()),
            ("base", base.into()),
            ("row_table", row_table.concat().into()),
            ("live", vec![items + 3].into()),
        ],
        outputs: vec![("out", Expected::Near { values: out, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}
