//! Test cases of [`crate::kernels::nn::weights_pack`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::nn::weights_pack::{PACK, PackedLayout, WeightsPack, pack_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &PACK, summary: "parameters in the order in which whole sequences are decoded", cases };

/// Sizes (outputs, inputs) of matrices, each of which a vector of its outputs follows.
const SHAPES: [&[[u32; 2]]; 5] =
    [&[[1, 4]], &[[2, 20], [96, 32], [5, 8]], &[[32, 32]; 70], &[[2048, 64], [64, 2048]], &[[63, 12], [65, 16]]];

fn cases(gpu: &Gpu) -> Vec<Case> {
    let halves = has_half(gpu).then_some((SHAPES[1], DType::F16));
    SHAPES.map(|shapes| (shapes, DType::F32)).into_iter().chain(halves).map(case).collect()
}

fn case((shapes, storage): (&[[u32; 2]], DType)) -> Case {
    let mut layout = PackedLayout::default();
    let mut first = 0;
    let mut place = |elements: u32| {
        let place = first;
        first = (first + elements).next_multiple_of(128);
        place
    };
    for [outputs, inputs] in shapes {
        layout.matrix(place(outputs * inputs), *outputs, *inputs);
        layout.copy(place(*outputs), *outputs);
    }
    layout.table(7);
    let elements = place(0) as usize;
    let mut random = RandomInputs::new(elements as u64);
    let values = random.floats(elements);
    let table = random.floats(7);
    let (read, matrices) = stored(values.clone(), storage);
    let packed = pack_reference(&layout, &values, &read, &table);
    let record = {
        let layout = layout.clone();
        move |plan: &mut Plan, buffers: &CaseBuffers| WeightsPack::from_case(buffers)?.record(plan, &layout)
    };
    Case {
        name: format!("{} matrices in {storage:?}, {} elements", shapes.len(), packed.len()),
        inputs: vec![
            ("segments", layout.segments().concat().into()),
            ("values", values.into()),
            ("matrices", matrices),
            ("table", table.into()),
        ],
        outputs: vec![("packed", Expected::Exactly(packed.iter().map(|value| value.to_bits()).collect()))],
        record: Box::new(record),
    }
}
