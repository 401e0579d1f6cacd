//! Test cases of [`crate::kernels::device::probe`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::device::probe::{
    COPY, ChainShape, LOAD, LOOP, LoadKind, LoadShape, MOST_ITERATIONS, MULTIPLY_ADD, ProbeCopy, ProbeLoad, ProbeLoop,
    ProbeMultiplyAdd, ProbeShuffle, SHUFFLE, ShuffleShape, chain_reference, load_inputs, load_reference,
    loop_reference, shuffle_reference,
};
use crate::kernels::strategy::Strategy;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const MULTIPLY_ADD_ENTRY: Entry =
    Entry { kernel: &MULTIPLY_ADD, summary: "a ← a · factor + addend in registers: peak rate", cases: chain_cases };
pub(crate) const COPY_ENTRY: Entry = Entry { kernel: &COPY, summary: "y = x: memory bandwidth", cases: copy_cases };
pub(crate) const SHUFFLE_ENTRY: Entry =
    Entry { kernel: &SHUFFLE, summary: "values passed around a subgroup: shuffle rate", cases: shuffle_cases };

pub(crate) const LOOP_ENTRY: Entry =
    Entry { kernel: &LOOP, summary: "integers in a long loop: supported loop length", cases: loop_cases };
pub(crate) const LOAD_ENTRY: Entry =
    Entry { kernel: &LOAD, summary: "sums of loads from the nearest cache: rate by kind", cases: load_cases };

/// Cases of the loop probe; the last one is as long as any loop of this crate.
fn loop_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1), (65, 1000), (64, MOST_ITERATIONS)].into_iter().map(loop_case).collect()
}

fn loop_case((lanes, steps): (u32, u32)) -> Case {
    Case {
        name: format!("{lanes} lanes, {steps} steps"),
        inputs: Vec::new(),
        outputs: vec![("y", Expected::Exactly(loop_reference(lanes, steps)))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            ProbeLoop::from_case(buffers)?.record(plan, lanes, steps)
        }),
    }
}

fn chain_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 2), (130, 37, 2), (64, 37, 4), (64, 5, 8)].into_iter().map(chain_case).collect()
}

fn chain_case((lanes, steps, chains): (u32, u32, u32)) -> Case {
    let shape = ChainShape { lanes, steps, chains };
    Case {
        name: format!("{lanes} lanes, {steps} steps, {chains} chains"),
        inputs: Vec::new(),
        // Hundreds of rounded links, each with an error of half a unit in the last place.
        outputs: vec![("y", Expected::Near { values: chain_reference(&shape), tolerance: 2e-5 })],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            ProbeMultiplyAdd::from_case(buffers)?.record(plan, &shape)
        }),
    }
}

fn copy_cases(_: &Gpu) -> Vec<Case> {
    [1, 255, 1025].into_iter().map(copy_case).collect()
}

fn copy_case(vectors: u32) -> Case {
    let x = RandomInputs::new(vectors.into()).integers(4 * vectors as usize, u32::MAX);
    Case {
        name: format!("{vectors} vectors"),
        inputs: vec![("x", x.clone().into())],
        outputs: vec![("y", Expected::Exactly(x))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            ProbeCopy::from_case(buffers)?.record(plan, vectors)
        }),
    }
}

fn shuffle_cases(gpu: &Gpu) -> Vec<Case> {
    let Some(subgroup) = Strategy::lanes(gpu) else { return Vec::new() };
    [(1, 1), (3, 100)].into_iter().map(|(groups, steps)| shuffle_case(subgroup, groups, steps)).collect()
}

fn shuffle_case(subgroup: u32, groups: u32, steps: u32) -> Case {
    let shape = ShuffleShape { lanes: 4 * subgroup * groups, steps, subgroup };
    Case {
        name: format!("{} lanes, {steps} steps", shape.lanes),
        inputs: Vec::new(),
        outputs: vec![("y", Expected::Exactly(shuffle_reference(&shape)))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            ProbeShuffle::from_case(buffers)?.record(plan, &shape)
        }),
    }
}

fn load_cases(_: &Gpu) -> Vec<Case> {
    let shapes = LoadKind::ALL.into_iter().flat_map(|kind| [(1, 1), (130, 100)].map(|shape| (kind, shape)));
    shapes.map(|(kind, (lanes, steps))| load_case(LoadShape { lanes, steps, kind })).collect()
}

fn load_case(shape: LoadShape) -> Case {
    let x = load_inputs(&mut RandomInputs::new(shape.steps.into()));
    Case {
        name: format!("{}, {} lanes, {} steps", shape.kind.name(), shape.lanes, shape.steps),
        inputs: vec![("x", x.clone().into())],
        // The sums are exact; a nonzero tolerance allows a perturbed value to be rejected.
        outputs: vec![("y", Expected::Near { values: load_reference(&x, &shape), tolerance: 1e-6 })],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            let constants = plan.gpu().upload_uniform("constants", &x)?.view();
            ProbeLoad::from_case(&buffers.with("constants", &constants))?.record(plan, &shape)
        }),
    }
}
