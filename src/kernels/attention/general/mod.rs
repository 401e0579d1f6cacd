//! Softmax attention over buffers of an application: queries, keys and values of their own, with strides.
//!
//! ```text
//! scores            s_ij = c · tanh(scale q_i · k_j / c) + bias_ij, without softcap scale q_i · k_j + bias_ij
//! forward           out_i = Σ_j p_ij v_j                      p_ij = exp(s_ij − lse_i)    lse_i = log Σ_j exp(s_ij)
//! query gradient    d_q_i = Σ_j p_ij (d_out_i · v_j − δ_i) s'_ij k_j                      δ_i = d_out_i · out_i
//! key gradient      d_k_j = Σ_i p_ij (d_out_i · v_j − δ_i) s'_ij q_i                      s'_ij = ∂s_ij / ∂(q_i · k_j)
//! value gradient    d_v_j = Σ_i p_ij d_out_i
//! ```
//!
//! Sums over j run over the keys that query i sees: those from p − [`GeneralShape::keys_before`] to
//! p + [`GeneralShape::keys_after`] around its position p = [`GeneralShape::past`] + i, whose bias is above −10³⁰. A query
//! that sees no key has out = 0, lse = −10³⁰ and no gradient, as in ONNX; PyTorch returns NaN. Heads of queries share
//! heads of keys in groups of adjacent ones: head h of the queries reads head ⌊h · Hk / H⌋ of keys and values (Ainslie et
//! al., arXiv:2305.13245). Forward pass: Vaswani et al., arXiv:1706.03762. Backward pass: Dao et al., arXiv:2205.14135,
//! appendix B.
//!
//! Arithmetic is f32. Queries, keys, values, outputs and their gradients are f32 or all f16. The kernels need
//! no subgroups and run on WebGPU's default limits: with tiles in workgroup memory on GPUs. CPUs run the forward pass with
//! subgroups, and narrow heads with one query or key per invocation (`selection.rs`). The forward pass of few queries over many keys, a decoding step,
//! runs over splits of the keys (`split.rs`). Each output has one writer and sums have a fixed order. The gradient of the
//! keys adds the heads of a group in order.
//!
//! The kernels of [`super::AttentionForward`] are faster for the rows [q | k | v] of one sequence.

mod backward;
pub(crate) mod cases;
mod forward;
mod layout;
mod reference;
mod scores;
mod selection;
mod split;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{DType, Groups, Kernel, Param, View};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
pub use backward::GeneralBackward;
pub use forward::GeneralForward;
pub use layout::{Layout, Layouts, Strides};
pub use reference::{
    GeneralGradients, GeneralInputs, general_backward_reference, general_forward_reference, general_scores_reference,
};
pub use scores::{GeneralScores, ScoresOf};
pub(crate) use selection::{BACKWARD_KEY_SELECTOR, BACKWARD_QUERY_SELECTOR, FORWARD_SELECTOR};

/// Strides of a bias in elements; the keys of a query are adjacent. A stride of 0 is the same bias for all samples, heads
/// or queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BiasStrides {
    /// From one sample to the next.
    pub sample: u32,
    /// From one head of the queries to the next.
    pub head: u32,
    /// From one query to the next.
    pub query: u32,
}

/// Shape of general attention. The default is empty; set at least `samples`, `queries`, `keys`, `heads` and `width`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GeneralShape {
    /// Number of samples B.
    pub samples: u32,
    /// Number of queries Tq of a sample.
    pub queries: u32,
    /// Number of keys and values Tk of a sample.
    pub keys: u32,
    /// Number of heads H of the queries and outputs.
    pub heads: u32,
    /// Number of heads Hk of the keys and values, a divisor of `heads`; `None`: as many.
    pub key_heads: Option<u32>,
    /// Width D of a head of queries and keys, 1 to [`GeneralShape::MOST_WIDTH`].
    pub width: u32,
    /// Width Dv of a head of values and outputs, at most [`GeneralShape::MOST_WIDTH`]; `None`: that of `width`.
    pub value_width: Option<u32>,
    /// Where rows are in the buffers.
    pub layouts: Layouts,
    /// Factor of the products of queries and keys; `None`: 1/√D.
    pub scale: Option<f32>,
    /// Bound c > 0 of the scaled products, s = c · tanh(scale q · k / c); `None`: no bound.
    pub softcap: Option<f32>,
    /// Number of keys before its position that a query sees, a sliding window; `None`: all.
    pub keys_before: Option<u32>,
    /// Number of keys after its position that a query sees; `Some(0)`: causal attention; `None`: all.
    pub keys_after: Option<u32>,
    /// Position of the first query among the keys, the number of past keys in a cache. 0 with `key_counts`, which put the
    /// last query at the last key of each sample.
    pub past: u32,
    /// Strides of the bias, if there is one.
    pub bias: BiasStrides,
}

/// Largest size; of positions, so that their sums and differences fit into an i32.
const MOST: u32 = 1 << 28;
/// Number of keys before or after a position that includes all.
const ALL_KEYS: u32 = 1 << 29;
/// Rows of a head that a workgroup owns, as in the source.
const OWNED: u32 = 32;
/// Lanes of a cluster, as in the source.
const CLUSTER: u32 = 8;
/// Columns of sums of a workgroup, as in the source.
const WORKGROUP_COLUMNS: u32 = 64;

impl GeneralShape {
    /// Largest width of a head.
    pub const MOST_WIDTH: u32 = 256;

    /// Number of heads Hk of keys and values.
    pub fn key_heads(&self) -> u32 {
        self.key_heads.unwrap_or(self.heads)
    }

    /// Width Dv of a head of values and outputs.
    pub fn value_width(&self) -> u32 {
        self.value_width.unwrap_or(self.width)
    }

    /// Factor of the products of queries and keys.
    pub fn scale(&self) -> f32 {
        self.scale.unwrap_or((1.0 / f64::from(self.width).sqrt()) as f32)
    }

    /// Number of elements up to the last one of each buffer: q, k, v, out. Gradients have as many.
    pub fn elements(&self) -> [u64; 4] {
        let strides = self.strides();
        let last = |strides: Strides, positions: u32, heads: u32, width: u32| {
            let steps = [(strides.sample, self.samples), (strides.position, positions), (strides.head, heads)];
            let last: u64 = steps.iter().map(|(step, n)| u64::from(*step) * u64::from(n.saturating_sub(1))).sum();
            u64::from(strides.offset) + last + u64::from(width)
        };
        let [q, k, v, out] = strides;
        [
            last(q, self.queries, self.heads, self.width),
            last(k, self.keys, self.key_heads(), self.width),
            last(v, self.keys, self.key_heads(), self.value_width()),
            last(out, self.queries, self.heads, self.value_width()),
        ]
    }

    /// Number of elements of `lse`, (B, H, Tq). The statistics of a backward pass have twice as many.
    pub fn rows(&self) -> u64 {
        u64::from(self.samples) * u64::from(self.heads) * u64::from(self.queries)
    }

    /// Number of elements up to the last one of the bias.
    pub fn bias_elements(&self) -> u64 {
        let steps = [(self.bias.sample, self.samples), (self.bias.head, self.heads), (self.bias.query, self.queries)];
        let last: u64 = steps.iter().map(|(step, n)| u64::from(*step) * u64::from(n.saturating_sub(1))).sum();
        last + u64::from(self.keys)
    }

    /// Strides of q, k, v and out.
    fn strides(&self) -> [Strides; 4] {
        let Layouts { q, k, v, out } = self.layouts;
        [
            q.strides(self.queries, self.heads, self.width),
            k.strides(self.keys, self.key_heads(), self.width),
            v.strides(self.keys, self.key_heads(), self.value_width()),
            out.strides(self.queries, self.heads, self.value_width()),
        ]
    }

    /// Keys that query `i` sees, of `keys` with the first query at `position`.
    fn seen(&self, i: u32, keys: u32, position: i64) -> std::ops::Range<u32> {
        let at = position + i64::from(i);
        let first = at - i64::from(self.keys_before.unwrap_or(ALL_KEYS));
        let last = at + i64::from(self.keys_after.unwrap_or(ALL_KEYS));
        first.clamp(0, keys.into()) as u32..(last + 1).clamp(0, keys.into()) as u32
    }

    /// Number of pairs of a query and a key that it sees, over all samples and heads.
    fn pairs(&self) -> f64 {
        let of_head: f64 =
            (0..self.queries).map(|i| f64::from(self.seen(i, self.keys, self.past.into()).len() as u32)).sum();
        f64::from(self.samples) * f64::from(self.heads) * of_head
    }

    fn text(&self) -> String {
        format!(
            "({}, {} × {}, {} / {}, {} / {})",
            self.samples,
            self.queries,
            self.keys,
            self.heads,
            self.key_heads(),
            self.width,
            self.value_width()
        )
    }

    /// Checks the shape for a kernel, with a count of the keys of each sample if `counted`.
    fn check(&self, kernel: &Kernel, counted: bool) -> Result<()> {
        let of_kind = |kind, message: String| Err(Error::new(kind, format!("{}: GeneralShape {message}", kernel.name)));
        let sizes = [
            ("samples", self.samples),
            ("queries", self.queries),
            ("keys", self.keys),
            ("heads", self.heads),
            ("key_heads", self.key_heads()),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| !(1..=MOST).contains(size)) {
            return of_kind(ErrorKind::Shape, format!("expected {name} from 1 to {MOST}, got {size}"));
        }
        let most = Self::MOST_WIDTH;
        for (name, width) in [("width", self.width), ("value_width", self.value_width())] {
            if !(1..=most).contains(&width) {
                return of_kind(
                    ErrorKind::Shape,
                    format!("expected {name} from 1 to {most}, got {width}; use more heads"),
                );
            }
        }
        if !self.heads.is_multiple_of(self.key_heads()) {
            let message =
                format!("expected heads that are a multiple of key_heads, got {} and {}", self.heads, self.key_heads());
            return of_kind(ErrorKind::Shape, message);
        }
        if self.past > MOST || counted && self.past > 0 {
            let expected = if counted {
                "0 with key_counts, which contain the past keys".into()
            } else {
                format!("at most {MOST}")
            };
            return of_kind(ErrorKind::Shape, format!("expected past of {expected}, got {}", self.past));
        }
        if !self.scale().is_finite() || self.softcap.is_some_and(|cap| !(cap.is_finite() && cap > 0.0)) {
            let (scale, softcap) = (self.scale(), self.softcap);
            return of_kind(
                ErrorKind::Settings,
                format!("expected a finite scale and a softcap above 0 or None, got {scale} and {softcap:?}"),
            );
        }
        let names = ["q", "k", "v", "out"];
        let elements = self
            .elements()
            .into_iter()
            .zip(names)
            .chain([(self.bias_elements(), "bias"), (2 * self.rows(), "statistics")]);
        if let Some((elements, name)) = elements.into_iter().find(|(elements, _)| *elements > u64::from(u32::MAX)) {
            return of_kind(ErrorKind::Shape, format!("needs {elements} elements of {name}, at most 2³² are possible"));
        }
        Ok(())
    }

    /// Checks that no two rows of a buffer that is written overlap.
    fn check_written(
        &self,
        kernel: &Kernel,
        name: &str,
        strides: Strides,
        [positions, heads, width]: [u32; 3],
    ) -> Result<()> {
        let mut steps = [(strides.sample, self.samples), (strides.position, positions), (strides.head, heads)];
        steps.sort_unstable();
        let mut extent = u64::from(width);
        for (step, count) in steps.into_iter().filter(|(_, count)| *count > 1) {
            if u64::from(step) < extent {
                let message = format!(
                    "{}: rows of `{name}`, which is written, overlap: a stride is {step}, expected at least {extent}; use \
                     another Layout",
                    kernel.name
                );
                return Err(Error::new(ErrorKind::Shape, message));
            }
            extent += u64::from(step) * u64::from(count - 1);
        }
        Ok(())
    }

    /// Parameters of all kernels over pairs.
    fn params(&self, operands: &Operands<'_>) -> Vec<(&'static str, Param)> {
        let [q, k, v, _] = self.strides();
        let mut params: Vec<(&'static str, Param)> = vec![
            ("samples", self.samples.into()),
            ("queries", self.queries.into()),
            ("keys", self.keys.into()),
            ("heads", self.heads.into()),
            ("group", (self.heads / self.key_heads()).into()),
            ("width", self.width.into()),
            ("value_width", self.value_width().into()),
            ("scale", self.scale().into()),
            ("softcap", self.softcap.unwrap_or(0.0).into()),
            ("before", self.keys_before.unwrap_or(ALL_KEYS).min(ALL_KEYS).into()),
            ("after", self.keys_after.unwrap_or(ALL_KEYS).min(ALL_KEYS).into()),
            ("past", self.past.into()),
            ("counted", u32::from(operands.key_counts.is_some()).into()),
            ("biased", u32::from(operands.bias.is_some()).into()),
            ("bias_sample", self.bias.sample.into()),
            ("bias_head", self.bias.head.into()),
            ("bias_query", self.bias.query.into()),
        ];
        params.extend(q.params(["q_offset", "q_sample", "q_position", "q_head"]));
        params.extend(k.params(["k_offset", "k_sample", "k_position", "k_head"]));
        params.extend(v.params(["v_offset", "v_sample", "v_position", "v_head"]));
        params
    }
}

/// Parameters of tiles whose sums are `width` wide; scalar variants do not read them.
fn tile_params(width: u32) -> [(&'static str, Param); 2] {
    let columns = columns(width);
    [("halves", halves(width).into()), ("steps", ((256 / columns).min(64) * columns / 64).into())]
}

/// Vectors of a row of sums in one workgroup, for sums that are `width` wide.
fn columns(width: u32) -> u32 {
    width.div_ceil(4).next_power_of_two().min(WORKGROUP_COLUMNS / 4)
}

/// Workgroups that share the columns of sums that are `width` wide.
fn halves(width: u32) -> u32 {
    width.div_ceil(WORKGROUP_COLUMNS)
}

/// Grid of a variant that owns `count` rows of each of `heads` heads.
fn groups(shape: &GeneralShape, [count, heads, width]: [u32; 3], variant: &Variant) -> Groups {
    let all_heads = u64::from(shape.samples) * u64::from(heads);
    Groups::Fixed(match variant.strategy {
        Strategy::Tiled => all_heads * u64::from(count.div_ceil(OWNED)) * u64::from(halves(width)),
        Strategy::Subgroup => {
            (all_heads * u64::from(count.div_ceil(CLUSTER * variant.tile))).div_ceil(u64::from(64 / CLUSTER))
        }
        Strategy::Scalar | Strategy::Panel => (all_heads * u64::from(count)).div_ceil(64),
    })
}

/// Constants of a variant whose sums are `width` wide.
fn spec(shape: &GeneralShape, width: u32, storage: DType, variant: &Variant) -> Vec<(&'static str, u32)> {
    let mut spec = vec![("CACHE_BITS", storage.bits())];
    match variant.strategy {
        Strategy::Tiled => spec.push(("COLUMNS", columns(width))),
        Strategy::Subgroup => {
            let parts = [("PARTS", shape.width / 4), ("VALUE_PARTS", shape.value_width() / 4)];
            spec.extend(parts.into_iter().chain([("QUERIES", variant.tile)]));
        }
        Strategy::Scalar | Strategy::Panel => spec.push(("PARTS", selection::parts(shape))),
    }
    spec
}

/// Optional operands.
struct Operands<'a> {
    bias: Option<&'a View>,
    key_counts: Option<&'a View>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> GeneralShape {
        GeneralShape { samples: 2, queries: 5, keys: 7, heads: 4, width: 8, ..Default::default() }
    }

    #[test]
    fn shapes_without_meaning_are_refused_in_one_line() {
        let kernel = &forward::FORWARD_TILED;
        shape().check(kernel, true).unwrap();
        let strided = Layout::Strided(Strides { offset: 0, sample: 1 << 31, position: 8, head: 1 });
        for (shape, words) in [
            (GeneralShape { keys: 0, ..shape() }, ["expected keys from 1", "got 0"]),
            (GeneralShape { queries: MOST + 1, ..shape() }, ["expected queries from 1", "got 268435457"]),
            (GeneralShape { width: 257, ..shape() }, ["expected width from 1 to 256", "got 257"]),
            (GeneralShape { value_width: Some(0), ..shape() }, ["expected value_width from 1 to 256", "got 0"]),
            (GeneralShape { key_heads: Some(3), ..shape() }, ["multiple of key_heads", "got 4 and 3"]),
            (GeneralShape { past: 1, ..shape() }, ["0 with key_counts", "got 1"]),
            (GeneralShape { scale: Some(f32::NAN), ..shape() }, ["finite scale", "NaN"]),
            (GeneralShape { softcap: Some(0.0), ..shape() }, ["softcap above 0", "Some(0.0)"]),
            (GeneralShape { samples: 4, layouts: strided.into(), ..shape() }, ["elements of q", "at most 2³²"]),
        ] {
            let message = shape.check(kernel, true).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn written_rows_must_not_overlap() {
        let check = |strides| shape().check_written(&forward::FORWARD_TILED, "out", strides, [5, 4, 8]);
        for layout in [Layout::BatchFirst, Layout::HeadFirst] {
            check(layout.strides(5, 4, 8)).unwrap();
        }
        let apart = Strides { offset: 3, sample: 9, position: 72, head: 18 };
        check(apart).unwrap();
        for overlapping in
            [Strides { head: 0, ..apart }, Strides { head: 16, ..apart }, Strides { position: 8, ..apart }]
        {
            let message = check(overlapping).unwrap_err().to_string();
            assert!(message.contains("`out`") && message.contains("overlap"), "{message}");
        }
    }

    #[test]
    fn a_query_sees_the_keys_around_its_position() {
        let window = GeneralShape { keys_before: Some(2), keys_after: Some(1), ..shape() };
        assert_eq!([0, 1, 4, 9].map(|i| window.seen(i, 7, 0)), [0..2, 0..3, 2..6, 7..7]);
        assert_eq!([0, 4].map(|i| window.seen(i, 7, -3)), [0..0, 0..3]);
        assert_eq!(shape().seen(3, 7, 100), 0..7);
        assert_eq!(shape().pairs(), 2.0 * 4.0 * 35.0);
    }
}
