//! Test cases of [`crate::kernels::token::gradient`].

use crate::gpu::Gpu;
use crate::kernels::case::wide;
use crate::kernels::token::gradient::{GRADIENT, TokenGradient, TokenGradientShape, gradient_reference, token_index};
use crate::kernels::{Case, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_table[v] += Σ d_x of the rows with token v", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    // Rows, capacity, width, first token, rows of the table, tokens of the vocabulary.
    let cases = [
        (1, 1, 4, 0, 1, 1),
        (15, 16, 60, 0, 3, 3),
        (257, 257, 64, 0, 65, 65),
        (130, 200, 68, 0, 1, 1),
        (600, 700, 132, 257, 100, 700),
        (70_000, 70_000, 4, 0, 66_000, 66_000),
        (331, 331, 768, 40_000, 500, 41_000),
        (0, 5, 8, 0, 3, 3),
    ];
    cases.into_iter().flat_map(|sizes| [1, 16].map(|slices| case(sizes, slices))).collect()
}

/// Every fourth row has the last token of the table.
fn case((rows, capacity, width, first_token, tokens, vocabulary): (u32, u32, u32, u32, u32, u32), slices: u32) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + 3 * tokens));
    let mut of_rows = random.integers(rows as usize, vocabulary);
    of_rows.iter_mut().step_by(4).for_each(|token| *token = first_token + tokens - 1);
    let d_x = random.floats((capacity * width) as usize);
    let d_table = random.floats((tokens * width) as usize);
    let sizes = [width as usize, first_token as usize];
    let expected = gradient_reference(&of_rows, &wide(&d_x), &wide(&d_table), sizes);
    let shape = TokenGradientShape { rows: capacity, width, first_token, tokens };
    Case {
        name: format!("{rows} of ({capacity}, {width}) to {first_token} + {tokens} of {vocabulary}, {slices} slices"),
        inputs: vec![
            ("d_x", d_x.into()),
            ("index", token_index(&of_rows, capacity as usize).into()),
            ("d_table", d_table.into()),
        ],
        // One slice adds up to 17,500 rows in turn.
        outputs: vec![(
            "d_table",
            Expected::Near { values: expected, tolerance: if rows < 1000 { 1e-6 } else { 3e-6 } },
        )],
        record: Box::new(move |plan, buffers| TokenGradient::from_case(buffers)?.record_slices(plan, &shape, slices)),
    }
}
