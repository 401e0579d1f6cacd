//! Test cases of [`crate::kernels::attention::linear::suffix`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::attention::SuffixShape;
use crate::kernels::attention::cases::suffix::{SuffixCase, SuffixInputs, TABLES, storages};
use crate::kernels::attention::cases::window;
use crate::kernels::attention::linear::cases::states::tolerance;
use crate::kernels::attention::linear::states;
use crate::kernels::attention::linear::suffix::{LinearSuffix, SUFFIX, suffix_reference};
use crate::kernels::attention::linear::{AttentionShape, slots, state_floats};
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const SUFFIX_ENTRY: Entry =
    Entry { kernel: &SUFFIX, summary: "linear attention of changed suffixes from a shared state", cases };

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
        let whole = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
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
