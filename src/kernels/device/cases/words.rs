//! Test cases of [`crate::kernels::device::words`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::device::words::{COUNT, CountWords, FILL, FillWords, count_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, POISON, RandomInputs};

pub(crate) const FILL_ENTRY: Entry = Entry { kernel: &FILL, summary: "x = word", cases: fill_cases };
pub(crate) const COUNT_ENTRY: Entry =
    Entry { kernel: &COUNT, summary: "elements with the bits of a word, and words that differ", cases: count_cases };

fn fill_cases(_: &Gpu) -> Vec<Case> {
    let case = |vectors: u32| Case {
        name: format!("{vectors} vectors"),
        inputs: Vec::new(),
        outputs: vec![("x", Expected::Exactly(vec![0xdead_beef; 4 * vectors as usize]))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            FillWords::from_case(buffers)?.record(plan, vectors, 0xdead_beef)
        }),
    };
    [1, 257, 70_001].into_iter().map(case).collect()
}

fn count_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1), (130, 1), (131, 2), (64, 2), (70_001, 2)].into_iter().map(count_case).collect()
}

/// Words of which about a third are poison, a third poison in one half only, and a tenth differ.
fn count_case((elements, per_word): (u32, u32)) -> Case {
    let (words, mut random) = (elements.div_ceil(per_word) as usize, RandomInputs::new(elements.into()));
    let poisoned = |word: u32| match word % 3 {
        0 => POISON,
        1 => (POISON & 0xffff_0000) | (word & 0xffff),
        _ => word,
    };
    let a: Vec<u32> = random.integers(words, u32::MAX).into_iter().map(poisoned).collect();
    let changed = random.integers(words, 10).into_iter().map(|n| u32::from(n == 0));
    let b: Vec<u32> = a.iter().zip(changed).map(|(a, changed)| a ^ changed).collect();
    let [kept, differing] = count_reference(&a, &b, elements, per_word, POISON);
    let storage = if per_word == 2 { DType::F16 } else { DType::F32 };
    Case {
        name: format!("{elements} elements of {storage}"),
        inputs: vec![("a", a.into()), ("b", b.into()), ("counts", vec![5, 7].into())],
        outputs: vec![("counts", Expected::Exactly(vec![5 + kept, 7 + differing]))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            let count = CountWords::from_case(buffers)?;
            CountWords { a: count.a.stored_as(storage), ..count }.record(plan, elements, POISON)
        }),
    }
}
