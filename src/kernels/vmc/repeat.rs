//! Repetition of rows of samples for every patch (the reverse of [`crate::kernels::nn::large_patch::ConditioningSum`])
//! or of rows of positions for every sample.
//!
//! ```text
//! y[b·T + t, c] = x[b, c]        or x[t, c]
//! ```

use crate::error::Result;
use crate::gpu::{Cost, DType, DynamicRows, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::nn::cast_f16::{has_half, stored};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static REPEAT: Kernel = kernel!("vmc", "rows_repeat");

pub(crate) const ENTRY: Entry =
    Entry { kernel: &REPEAT, summary: "rows of samples or positions, repeated for every patch", cases };

/// Index that selects the row to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatSource {
    /// Sample.
    Sample = 0,
    /// Position within the sample.
    Position = 1,
}

record! {
    /// Repetition of rows.
    #[derive(Debug, Clone)]
    pub struct RowsRepeat {
        /// (B, C) or (T, C), of f32 or f16
        pub x: View,
        /// (rows, C)
        pub y: View,
    }
}

impl RowsRepeat {
    /// Records `rows` = B·T rows of `width` = C, with `patches` = T per sample.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, patches: u32, width: u32, source: RepeatSource) -> Result<()> {
        let (r, t, c) = (u64::from(rows.capacity), u64::from(patches), u64::from(width));
        let read = if source == RepeatSource::Position { t } else { r / t };
        plan.launch(&Launch {
            kernel: &REPEAT,
            spec: &[("BY_POSITION", source as u32), ("WEIGHT_BITS", self.x.storage().bits())],
            bindings: &bind!(self.x[read * c], self.y[r * c]),
            params: &[("rows", rows.capacity.into()), ("width", width.into()), ("patches", patches.into())],
            groups: rows.times(width).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * ((r + read) * c) as f64 },
            shape: format!("({r}, {c})"),
        })
    }
}

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
