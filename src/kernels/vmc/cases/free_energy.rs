//! Test cases of [`crate::kernels::vmc::free_energy`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::energy::COLUMNS;
use crate::kernels::vmc::free_energy::{FREE_ENERGY, FreeEnergy};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry = Entry { kernel: &FREE_ENERGY, summary: "E + T log P of each sample", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1, 0.5), (64, 64, 1, 0.0), (65, 32, 7, 2.0), (1000, 128, 25, 0.125), (70_000, 20_032, 3, 1.0)];
    shapes.map(case).into()
}

fn case((samples, group, parts, temperature): (u32, u32, u32, f32)) -> Case {
    let mut random = RandomInputs::new(u64::from(samples * parts));
    let values = random.floats((samples * COLUMNS) as usize);
    let log_p = random.floats((samples * parts) as usize);
    let within = |b: u32, random: &mut RandomInputs| random.integers(1, group.min(samples - (b - b % group)))[0];
    let sample_of: Vec<u32> = (0..samples).map(|b| within(b, &mut random)).collect();
    let mut expected: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    for i in 0..samples {
        let b = (i - i % group + sample_of[i as usize]) as usize;
        let row = &log_p[b * parts as usize..(b + 1) * parts as usize];
        let sum: f64 = row.iter().map(|log_p| f64::from(*log_p)).sum();
        expected[(i * COLUMNS) as usize] += f64::from(temperature) * sum;
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        FreeEnergy::from_case(buffers)?.record(plan, samples, group, parts)
    };
    Case {
        name: format!("({samples}) in groups of {group}, {parts} summands, temperature {temperature}"),
        inputs: vec![
            ("values", values.into()),
            ("sample_of", sample_of.into()),
            ("log_p", log_p.into()),
            ("step", vec![1u32, 2, 3, 4, temperature.to_bits()].into()),
        ],
        outputs: vec![("free", Expected::Near { values: expected, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
