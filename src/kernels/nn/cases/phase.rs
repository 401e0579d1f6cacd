//! Test cases of [`crate::kernels::nn::phase`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::nn::cases::embed::random_rows;
use crate::kernels::nn::categorical::CategoricalShape;
use crate::kernels::nn::phase::{
    BACKWARD, FORWARD, PhaseBackward, PhaseForward, Targets, backward_reference, forward_reference,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "phase = phases[target]", cases: forward_cases };
pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_phases = d_phase [v = target]", cases: backward_cases };

const SHAPES: [(u32, u32); 6] = [(1, 16), (64, 16), (63, 8), (65, 4096), (257, 4), (70_000, 2)];

fn forward_cases(_: &Gpu) -> Vec<Case> {
    SHAPES.into_iter().flat_map(|shape| [false, true].map(|described| forward_case(shape, described))).collect()
}

fn forward_case((rows, outcomes): (u32, u32), described: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + outcomes));
    let row_meta = random_rows(&mut random, rows as usize, 4, outcomes.ilog2());
    let targets: Vec<u32> = row_meta.chunks(4).map(|row| row[2]).collect();
    let phases = random.floats((rows * outcomes) as usize);
    let wide: Vec<f64> = phases.iter().map(|phase| f64::from(*phase)).collect();
    let expected = forward_reference(&targets, &wide);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [targets, phases, phase] = buffers.views(["targets", "phases", "phase"])?;
        let targets = if described { Targets::Rows(targets) } else { Targets::Tokens(targets) };
        PhaseForward { targets, phases, phase }.record(plan, &rows.into(), outcomes)
    };
    Case {
        name: format!("({rows}, {outcomes}), described {described}"),
        inputs: vec![("targets", if described { row_meta } else { targets }.into()), ("phases", phases.into())],
        outputs: vec![("phase", Expected::Near { values: expected, tolerance: 1e-7 })],
        record: Box::new(record),
    }
}

fn backward_cases(_: &Gpu) -> Vec<Case> {
    SHAPES.into_iter().map(backward_case).collect()
}

fn backward_case((rows, outcomes): (u32, u32)) -> Case {
    let (patches, first_sample) = (3, 2);
    let mut random = RandomInputs::new(u64::from(rows + outcomes));
    let row_meta = random_rows(&mut random, rows as usize, patches, outcomes.ilog2());
    let targets: Vec<u32> = row_meta.chunks(4).map(|row| row[2]).collect();
    let phases = random.floats((rows * outcomes) as usize);
    let d_phase = random.floats((first_sample + rows.div_ceil(patches)) as usize);
    let slopes: Vec<f64> = (0..rows).map(|r| d_phase[(first_sample + r / patches) as usize].into()).collect();
    let expected = backward_reference(&targets, &slopes, outcomes as usize);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let backward = PhaseBackward::from_case(buffers)?;
        backward.record(plan, &rows.into(), &CategoricalShape { outcomes, patches, excitations: None }, first_sample)
    };
    Case {
        name: format!("({rows}, {outcomes})"),
        inputs: vec![("rows", row_meta.into()), ("d_phase", d_phase.into()), ("phases", phases.into())],
        outputs: vec![("phases", Expected::Near { values: expected, tolerance: 1e-7 })],
        record: Box::new(record),
    }
}
