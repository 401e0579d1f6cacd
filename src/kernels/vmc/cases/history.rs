//! Test cases of [`crate::kernels::vmc::history`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::energy::{COLUMNS, Column};
use crate::kernels::vmc::history::{EnergyHistory, HISTORY};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry = Entry { kernel: &HISTORY, summary: "energies of the newest steps", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 1), (3, 1, 16), (3, 3, 16), (3, 4, 17), (4096, 70_000, 144)].into_iter().map(case).collect()
}

fn case((entries, step, sites): (u32, u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(step));
    let statistics = random.floats(2 * COLUMNS as usize);
    let before = random.floats(4 * entries as usize);
    let of = |column: Column, part: usize| f64::from(statistics[2 * column as usize + part]);
    let mut expected: Vec<f64> = before.iter().map(|value| f64::from(*value)).collect();
    expected[4 * ((step - 1) % entries) as usize..][..4].copy_from_slice(&[
        f64::from(step),
        of(Column::Energy, 0),
        of(Column::Energy, 1) + of(Column::ImaginaryEnergy, 1),
        0.5 * (of(Column::Magnetization, 0) / f64::from(sites) + 1.0),
    ]);
    Case {
        name: format!("step {step} of {entries}, {sites} sites"),
        inputs: vec![
            ("statistics", statistics.into()),
            ("step", vec![1, 2, step, 4, 5, 0, 0, 0].into()),
            ("history", before.into()),
        ],
        outputs: vec![("history", Expected::Near { values: expected, tolerance: 1e-6 })],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            EnergyHistory::from_case(buffers)?.record(plan, entries, sites)
        }),
    }
}
