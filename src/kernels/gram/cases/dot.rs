//! Test cases of [`crate::kernels::gram::dot`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::gram::SampleRows;
use crate::kernels::gram::dot::{DOT, DotShape, RowsDot};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const DOT_ENTRY: Entry =
    Entry { kernel: &DOT, summary: "y += inner products of rows, compensated", cases: dot_cases };

fn dot_cases(_: &Gpu) -> Vec<Case> {
    let cases = [
        ([64, 1, 1], [1, 1, 0, 1], Some(0), false),
        ([64, 1, 33], [1, 129, 3, 140], Some(65), true),
        ([64, 2, 61], [5, 7, 0, 7], None, false),
        ([64, 1, 64], [3, 70, 0, 70], None, true),
        ([65_600, 1, 65_590], [1, 2, 1, 3], Some(1), false),
    ];
    cases.into_iter().map(dot_case).collect()
}

/// Case with two samples before the window.
fn dot_case(
    ([part_rows, parts, live], [tokens, width, first, u_stride], one_at, keep): ([u32; 3], [u32; 4], Option<u32>, bool),
) -> Case {
    let mut random = RandomInputs::new(u64::from(width * 3 + live));
    let rows = parts * part_rows;
    let u = random.floats((rows * tokens * u_stride) as usize);
    let v = random.floats(one_at.map_or(rows * tokens * width, |at| at + width) as usize);
    let before = random.floats(2 * rows as usize);
    let mut values: Vec<f64> = before.iter().copied().map(f64::from).collect();
    for sample in (0..rows).filter(|sample| sample % part_rows < live) {
        let of_row = |row: u32| -> f64 {
            let at = |c: u32| f64::from(u[(row * u_stride + first + c) as usize]);
            let with = |c: u32| f64::from(v[one_at.map_or(row * width + c, |at| at + c) as usize]);
            (0..width).map(|c| at(c) * with(c)).sum()
        };
        let sum: f64 = (sample * tokens..(sample + 1) * tokens).map(of_row).sum();
        let pair = 2 * sample as usize;
        values[pair] = sum + if keep { values[pair] } else { 0.0 };
        values[pair + 1] = if keep { values[pair + 1] } else { 0.0 };
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let samples = SampleRows { live: buffers.view("live")?, part_rows, parts };
        let shape = DotShape { samples, first_sample: 2, tokens, width, first, u_stride, one_at, keep };
        RowsDot::from_case(buffers)?.record(plan, &shape)
    };
    Case {
        name: format!("({rows}, {tokens}, {width}), one row at {one_at:?}, keep {keep}, {live} samples"),
        inputs: vec![("u", u.into()), ("v", v.into()), ("live", vec![live + 2].into()), ("y", before.into())],
        outputs: vec![("y", Expected::Near { values, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
