//! Test cases of [`crate::kernels::vmc::repeat`].

use crate::gpu::{DType, DynamicRows, Gpu, Plan};
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::vmc::repeat::{REPEAT, RepeatSource, RowsRepeat};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &REPEAT, summary: "rows of samples or positions, repeated for every patch", cases };

fn cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1), (3, 4, 7), (65, 9, 8), (35_000, 2, 3)];
    let of = |shape| [RepeatSource::Sample, RepeatSource::Position].map(|source| case(shape, source, DType::F32));
    let half = has_half(gpu).then(|| case((5, 3, 7), RepeatSource::Position, DType::F16));
    shapes.into_iter().flat_map(of).chain(half).collect()
}

fn case((samples, patches, width): (u32, u32, u32), source: RepeatSource, storage: DType) -> Case {
    let read = if source == RepeatSource::Position { patches } else { samples };
    let (x, buffer) = stored(RandomInputs::new(samples.into()).floats((read * width) as usize), storage);
    let row = |r: u32| if source == RepeatSource::Position { r % patches } else { r / patches } * width;
    let y = (0..samples * patches).flat_map(|r| x[row(r) as usize..][..width as usize].iter().map(|x| x.to_bits()));
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let live = DynamicRows::new(buffers.view("live")?, 1, samples, patches);
        plan.write_indirect_args(&live.live)?;
        RowsRepeat::from_case(buffers)?.record(plan, &live.into(), patches, width, source)
    };
    Case {
        name: format!("({samples}, {patches}, {width}) by {source:?}, {storage:?}"),
        outputs: vec![("y", Expected::Exactly(y.collect()))],
        inputs: vec![("x", buffer), ("live", vec![samples + 1].into())],
        record: Box::new(record),
    }
}
