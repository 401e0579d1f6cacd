//! Linear attention of suffixes changed by connected configurations, from the state of their sample before the change.

use super::forward::attend;
use super::states::{self, tolerance};
use super::{AttentionShape, check_positions, chunk, features, lanes, slots, state_floats};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, DType, Gpu, Kernel, Launch, Plan, View, bind};
use crate::kernels::attention::suffix::{SuffixCase, SuffixInputs, TABLES, storages};
use crate::kernels::attention::{SuffixShape, check_heads, part, window};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, kernel, record};

static SUFFIX: Kernel = kernel!("attention", "linear_attention_suffix");

pub(crate) const SUFFIX_ENTRY: Entry =
    Entry { kernel: &SUFFIX, summary: "linear attention of changed suffixes from a shared state", cases };

record! {
    /// Linear attention of changed suffixes of sequences, from the states of their base sample. The suffix batch and
    /// the tables are those of [`crate::kernels::attention::AttentionSuffix`].
    #[derive(Debug, Clone)]
    pub struct LinearSuffix {
        /// (B·T, 3C) of the base samples, f32 or f16
        pub base_qkv: View,
        /// States of the base samples, from [`super::LinearForward`]
        pub states: View,
        /// (items·per_item, 3C), of the same type as `base_qkv`
        pub qkv: View,
        /// Base sample of item `first_item` + u, u32 (first_item + items)
        pub base: View,
        /// (per_item, 2), u32: s, p
        pub row_table: View,
        /// (items·per_item, C)
        pub out: View,
    }
}

/// Number of parts of the values per lane. A state takes D vectors per part, and rows are loaded once for all parts.
/// GPUs have registers for one part; software adapters keep the state in memory in any case.
fn values(gpu: &Gpu, d: u32) -> u32 {
    if gpu.is_software() && (5..=64).contains(&d) { 2 } else { 1 }
}

impl LinearSuffix {
    /// Records the kernel.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128, more than [`super::most_positions`] positions, or a period
    /// shorter than a sample; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SuffixShape) -> Result<()> {
        check_heads(&SUFFIX, shape.h, shape.d)?;
        check_positions(&SUFFIX, shape.t, shape.d)?;
        if shape.period != shape.t {
            let (period, t) = (shape.period, shape.t);
            let message = format!(
                "{}: expected whole samples of {t} positions, got parts of {period}; use softmax attention",
                SUFFIX.name
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let values = values(plan.gpu(), shape.d);
        self.record_values(plan, shape, values)
    }

    fn record_values(&self, plan: &mut Plan, shape: &SuffixShape, values: u32) -> Result<()> {
        let width = u64::from(shape.h) * u64::from(shape.d);
        let base_elements = u64::from(shape.b) * u64::from(shape.t) * 3 * width;
        let rows = u64::from(shape.items.capacity) * u64::from(shape.per_item);
        let items = u64::from(shape.first_item) + u64::from(shape.items.capacity);
        let states = states::elements(&AttentionShape::causal(shape.b, shape.t, shape.h, shape.d));
        plan.launch(&Launch {
            kernel: &SUFFIX,
            spec: &[("HEAD_DIM", shape.d), ("VALUES", values), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bind!(
                self.base_qkv[base_elements],
                base_qkv4 = self.base_qkv[base_elements],
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.base[items],
                self.row_table[2 * u64::from(shape.per_item)],
                self.states[states],
                self.out[rows * width]
            ),
            params: &[
                ("items", shape.items.capacity.into()),
                ("per_item", shape.per_item.into()),
                ("first_item", shape.first_item.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("chunk", chunk(shape.d).into()),
                ("parts", shape.d.div_ceil(4).into()),
            ],
            groups: lanes(&shape.items, shape.per_item * shape.h * shape.d.div_ceil(4).div_ceil(values)),
            // The table is on the GPU; the cost assumes that no sequence has base keys between a state and its start.
            cost: Cost {
                flops: 4.0 * (rows * width) as f64 * f64::from(shape.d + 1),
                bytes: (self.qkv.storage().bytes() * (base_elements + rows * 3 * width) + 4 * (rows * width + states))
                    as f64,
            },
            shape: format!("({}, {}, {}, {}, {})", shape.items.capacity, shape.per_item, shape.t, shape.h, shape.d),
        })
    }
}

/// Reference in f64: out (items·per_item, C) of a [`LinearSuffix`]. `base` starts at the first item of the launch.
pub fn suffix_reference(
    base_qkv: &[f64],
    qkv: &[f64],
    base: &[u32],
    row_table: &[[u32; 2]],
    shape: &SuffixShape,
) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (base_mapped, mapped) = (features(base_qkv), features(qkv));
    let mut out = Vec::new();
    for row in 0..(shape.items.capacity * shape.per_item) as usize {
        let (item, k) = (row / shape.per_item as usize, row % shape.per_item as usize);
        let [start, position] = row_table[k].map(|v| v as usize);
        for head in 0..h {
            let from_base = |j: usize| (base[item] as usize * t + j, &base_mapped[..], base_qkv);
            let from_item = |j: usize| (row - (position - j), &mapped[..], qkv);
            let keys = (0..=position).map(|j| {
                let (row, mapped, given) = if j < start { from_base(j) } else { from_item(j) };
                (part(mapped, row, 1, head, h, d), part(given, row, 2, head, h, d))
            });
            out.extend(attend(part(&mapped, row, 0, head, h, d), keys).0);
        }
    }
    out
}

fn cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [SuffixCase; 12] = [
        ([1, 1, 1], 1, 0),
        ([5, 2, 4], 7, 1),
        ([5, 3, 6], 5, 2),
        ([16, 2, 8], 9, 3),
        ([5, 3, 8], 5, 2),
        ([16, 3, 3], 4, 3),
        ([16, 1, 20], 2, 3),
        ([70, 2, 16], 2, 4),
        ([70, 1, 66], 2, 4),
        ([1395, 1, 128], 1, 0),
        ([5, 1, 4], 30_000, 1),
        ([5, 2, 12], 1000, 2),
    ];
    let of_storage = |storage| {
        let variants = move |shape: SuffixCase| {
            let values = if (5..=16).contains(&shape.0[2]) { vec![1, 2] } else { vec![1] };
            values.into_iter().map(move |values| case(shape, values, storage))
        };
        shapes.into_iter().flat_map(variants)
    };
    storages(gpu).flat_map(of_storage).collect()
}

fn case((sizes, items, table): SuffixCase, values: u32, storage: DType) -> Case {
    let [t, h, d] = sizes;
    // The longest supported sequence, as one whole sequence instead of a table of suffixes.
    let whole = [[0, t]];
    let case = SuffixInputs::new(sizes, items, if t > 1000 { &whole } else { TABLES[table] }, t, storage);
    let out = suffix_reference(&case.base_qkv, &case.qkv, &case.base, &case.row_table, &case.shape);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let b = case.shape.b;
        let whole = AttentionShape::causal(b, t, h, d);
        let states = plan.gpu().buffer("states", u64::from(b * slots(t, d) * h) * state_floats(d))?.view();
        let attention = LinearSuffix::from_case(&buffers.with("states", &states))?;
        if slots(t, d) > 0 {
            states::record(plan, [&attention.base_qkv, &states], &whole, [0, slots(t, d)])?;
        }
        let live = window(buffers.view("live")?, items);
        plan.write_indirect_args(&live.live)?;
        attention.record_values(plan, &SuffixShape { items: live.into(), ..case.shape.clone() }, values)
    };
    Case {
        name: format!("{}, {values} parts to a lane", case.name),
        inputs: case.inputs,
        outputs: vec![("out", Expected::Near { values: out, tolerance: tolerance(t) })],
        record: Box::new(record),
    }
}
