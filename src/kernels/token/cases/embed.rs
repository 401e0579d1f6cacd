//! Test cases of [`crate::kernels::token::embed`].

use crate::gpu::{DynamicRows, Gpu, Rows};
use crate::kernels::case::wide;
use crate::kernels::token::embed::{EMBED, RowPositions, TokenEmbed, TokenEmbedShape, embed_reference};
use crate::kernels::{Case, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &EMBED, summary: "x = table[token] + position, by parts of the table", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    let positions = |period, first| Some(RowPositions { period, first });
    // Rows, width, first token, rows of the table, tokens of the vocabulary, positions.
    let cases = [
        (1, 4, 0, 1, 1, positions(1, 0)),
        (63, 48, 0, 3, 3, positions(11, 0)),
        (64, 256, 0, 65, 65, None),
        (65, 52, 257, 100, 700, positions(16, 3)),
        (70_001, 4, 0, 257, 257, positions(64, 0)),
        (77, 768, 40_000, 500, 41_000, positions(1, 76)),
    ];
    let dynamic = [(23, 17), (80, 1)].map(|(capacity, live)| dynamic_case(capacity, live));
    cases
        .into_iter()
        .map(|(rows, width, first_token, tokens, vocabulary, positions)| {
            let shape = TokenEmbedShape { rows: Rows::from(rows), width, first_token, tokens, positions };
            case(format!("({rows}, {width}) from {first_token} of {vocabulary}"), shape, vocabulary, rows, None)
        })
        .chain(dynamic)
        .collect()
}

/// Only `live` of `capacity` rows exist, which only the GPU knows.
fn dynamic_case(capacity: u32, live: u32) -> Case {
    let positions = Some(RowPositions { period: 8, first: 1 });
    let shape = TokenEmbedShape { rows: Rows::from(capacity), width: 64, first_token: 0, tokens: 9, positions };
    case(format!("{live} of ({capacity}, 64)"), shape, 9, live, Some(live))
}

/// The first `embedded` rows are compared. The others keep their values or are not computed.
fn case(name: String, shape: TokenEmbedShape, vocabulary: u32, embedded: u32, live: Option<u32>) -> Case {
    let (rows, width) = (shape.rows.capacity as usize, shape.width as usize);
    let mut random = RandomInputs::new(u64::from(shape.rows.capacity + 5 * shape.tokens));
    let tokens = random.integers(rows, vocabulary);
    let table = random.floats(shape.tokens as usize * width);
    let position = shape.positions.map(|at| random.floats((at.first + at.period) as usize * width));
    let x = random.floats(rows * width);
    let with = position.as_ref().map(|position| wide(position)).zip(shape.positions);
    let at = with.as_ref().map(|(position, at)| (&position[..], *at));
    let mut expected = embed_reference(&tokens, &wide(&table), at, &wide(&x), [width, shape.first_token as usize]);
    expected.truncate(embedded as usize * width);
    let mut inputs = vec![("tokens", tokens.into()), ("table", table.into()), ("x", x.into())];
    inputs.extend(position.map(|position| ("position", position.into())));
    inputs.extend(live.map(|live| ("live", vec![live].into())));
    Case {
        name,
        inputs,
        outputs: vec![("x", Expected::Near { values: expected, tolerance: 1e-7 })],
        record: Box::new(move |plan, buffers| {
            let mut shape = shape.clone();
            if live.is_some() {
                let live = DynamicRows::new(buffers.view("live")?, 0, shape.rows.capacity, 1);
                plan.write_indirect_args(&live.live)?;
                shape.rows = live.into();
            }
            TokenEmbed::from_case(buffers)?.record(plan, &shape)
        }),
    }
}
