//! Test cases of [`crate::kernels::linear::sums`].

use crate::gpu::{Gpu, Plan, Rows};
use crate::kernels::linear::blocks::Parts;
use crate::kernels::linear::sums::{
    Columns, GRADIENT_SUM, GRADIENT_SUM_PARTS, GradientInto, GradientSums, SCRATCH_ALIGNMENT,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const GRADIENT_SUM_ENTRY: Entry =
    Entry { kernel: &GRADIENT_SUM, summary: "adds the blocks of gradients", cases: gradient_sum_cases };
pub(crate) const GRADIENT_SUM_PARTS_ENTRY: Entry = Entry {
    kernel: &GRADIENT_SUM_PARTS,
    summary: "the same for blocks divided into parts, for GPUs",
    cases: gradient_sum_parts_cases,
};

/// Blocks of the gradients of a weight and a bias. No rows are needed, as the blocks are given.
#[derive(Clone, Copy)]
struct Gradient {
    parts: u32,
    per_block: u32,
    elements: [u32; 2],
}

/// Gradients whose blocks are not divided: (blocks, elements).
fn whole(gradients: &[(u32, [u32; 2])]) -> Vec<Gradient> {
    gradients.iter().map(|&(parts, elements)| Gradient { parts, per_block: 1, elements }).collect()
}

/// Gradients whose blocks are divided: (parts, parts per block, elements).
fn divided(gradients: &[(u32, u32, [u32; 2])]) -> Vec<Gradient> {
    gradients.iter().map(|&(parts, per_block, elements)| Gradient { parts, per_block, elements }).collect()
}

fn gradient_sum_cases(_: &Gpu) -> Vec<Case> {
    vec![
        sum_case(whole(&[(1, [1, 0])]), false),
        sum_case(whole(&[(3, [15, 5])]), true),
        sum_case(whole(&[(2, [63, 1]), (1, [64, 65]), (130, [1, 31]), (5, [33, 0]), (1, [32, 127])]), false),
        sum_case(whole(&[(7, [255, 256]), (2, [257, 1]), (1, [128, 2])]), true),
        sum_case(whole(&[(2, [70_000, 3]), (3, [6, 2])]), false),
        sum_case(whole(&[(2, [9, 4]); 33]), true),
    ]
}

fn gradient_sum_parts_cases(_: &Gpu) -> Vec<Case> {
    let mixed = [whole(&[(3, [40, 33])]), divided(&[(9, 4, [33, 7])]), whole(&[(1, [5, 64])])].concat();
    vec![
        sum_case(divided(&[(1, 8, [1, 0])]), false),
        sum_case(divided(&[(21, 10, [15, 5])]), true),
        sum_case(divided(&[(8, 8, [31, 1]), (200, 3, [32, 33]), (17, 2, [1, 65]), (64, 8, [64, 0])]), false),
        sum_case(divided(&[(65, 8, [255, 256]), (3, 5, [257, 1])]), true),
        sum_case(divided(&[(5, 2, [70_000, 3]), (9, 4, [6, 2])]), false),
        // More workgroups than one dimension of a grid has.
        sum_case(divided(&[(2, 2, [32 * 65_537, 0]), (3, 2, [9, 4])]), false),
        sum_case(mixed, true),
    ]
}

/// Case of the sums of `gradients`, one after the other in the scratch and in the gradient of all parameters. Elements
/// between them must not be read from the scratch and must not change in the gradient.
fn sum_case(gradients: Vec<Gradient>, keep: bool) -> Case {
    let mut random = RandomInputs::new(gradients.len() as u64);
    let aligned = |count: usize| count.next_multiple_of(SCRATCH_ALIGNMENT as usize);
    let (mut part, mut before, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = Vec::new();
    for Gradient { parts, elements, .. } in &gradients {
        let width = (elements[0] + elements[1]) as usize;
        let blocks = random.floats(*parts as usize * width);
        let mut column = 0;
        for elements in elements.map(|elements| elements as usize) {
            let old = random.floats(aligned(elements));
            first.push(before.len() as u64);
            sums.extend(old.iter().map(|old| f64::from(*old)));
            for (i, sum) in sums[before.len()..].iter_mut().take(elements).enumerate() {
                let added: f64 = blocks.chunks(width).map(|block| f64::from(block[column + i])).sum();
                *sum = added + if keep { *sum } else { 0.0 };
            }
            before.extend(old);
            column += elements;
        }
        part.extend(blocks);
        part.resize(aligned(part.len()), f32::NAN);
    }
    let text = |g: &Gradient| format!("{} of {} x {:?}", g.parts, g.per_block, g.elements);
    let shown = gradients.iter().take(5).map(text).collect::<Vec<_>>().join(", ");
    let name = format!("{} gradients, parts {shown}, keep {keep}", gradients.len());
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [part, gradient] = buffers.views(["part", "gradient"])?;
        let sums = GradientSums::new(part, GradientInto::Sum { keep });
        for (Gradient { parts, per_block, elements }, first) in gradients.iter().zip(first.chunks(2)) {
            let view = |i: usize| gradient.range("gradient", first[i], elements[i].into());
            let into = [Some(&view(0)?), Some(&view(1)?)];
            let rows = Rows::from(*parts);
            let columns = Columns { rows: &rows, into, elements: *elements };
            sums.record(plan, &columns, Parts::of_rows(&rows, 1, *per_block), &|_, _| Ok(()))?;
        }
        sums.finish(plan)
    };
    Case {
        name,
        inputs: vec![("part", part.into()), ("gradient", before.into())],
        outputs: vec![("gradient", Expected::Near { values: sums, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
