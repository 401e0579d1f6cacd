//! Test cases of [`crate::kernels::token::cross_entropy`].

use crate::gpu::{DynamicRows, Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::token::cross_entropy::{
    CrossEntropyGradient, CrossEntropyShape, CrossEntropyStatistics, GRADIENT, IGNORED, STATISTICS, gradient_reference,
    loss_reference, sums_reference,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const STATISTICS_ENTRY: Entry =
    Entry { kernel: &STATISTICS, summary: "max and Σ exp of logits, by chunks of tokens", cases: statistics_cases };
pub(crate) const GRADIENT_ENTRY: Entry = Entry {
    kernel: &GRADIENT,
    summary: "loss = lse − l[target], entropy, d_l = weight (softmax − [target])",
    cases: gradient_cases,
};

/// Sizes of a case: rows of the logits, number of tokens, ends of the chunks of tokens, and the first row of the window.
#[derive(Clone, Copy)]
struct Sizes {
    rows: u32,
    first_row: u32,
    chunks: &'static [u32],
    /// Stored columns in addition to those that round the tokens up to a multiple of 4.
    padding: u32,
    /// Largest magnitude of a logit.
    range: f32,
}

const SIZES: [Sizes; 10] = [
    Sizes { rows: 1, first_row: 0, chunks: &[1], padding: 0, range: 4.0 },
    Sizes { rows: 18, first_row: 0, chunks: &[3], padding: 0, range: 4.0 },
    Sizes { rows: 63, first_row: 5, chunks: &[65], padding: 0, range: 4.0 },
    Sizes { rows: 65, first_row: 1, chunks: &[64], padding: 8, range: 1e4 },
    Sizes { rows: 131, first_row: 0, chunks: &[257], padding: 0, range: 1e4 },
    Sizes { rows: 17, first_row: 0, chunks: &[100, 200, 257], padding: 4, range: 12.0 },
    Sizes { rows: 5, first_row: 2, chunks: &[4099, 8198, 8200], padding: 0, range: 20.0 },
    Sizes { rows: 3, first_row: 0, chunks: &[16_384, 32_768, 49_152, 50_257], padding: 0, range: 8.0 },
    Sizes { rows: 65, first_row: 0, chunks: &[1, 5], padding: 0, range: 1e4 },
    Sizes { rows: 70_000, first_row: 3, chunks: &[3], padding: 0, range: 4.0 },
];

/// Numbers of lanes per row of a case: that of the adapter and, for few rows, all with at most 2,048 columns per lane.
fn lanes_of(gpu: &Gpu, rows: u32, shape: &CrossEntropyShape) -> Vec<u32> {
    let mut all: Vec<u32> = if rows < 200 { vec![1, 4, 8, 256] } else { Vec::new() };
    all.retain(|lanes| shape.columns / lanes <= 2048);
    if !all.contains(&shape.lanes(gpu)) {
        all.push(shape.lanes(gpu));
    }
    all
}

/// Inputs of a case with `Sizes`, for the kernel and the reference.
struct Inputs {
    /// (rows, V)
    logits: Vec<f32>,
    /// (all rows)
    targets: Vec<u32>,
    weight: Vec<f32>,
    vocabulary: usize,
}

impl Sizes {
    fn vocabulary(self) -> u32 {
        self.chunks[self.chunks.len() - 1]
    }

    fn all_rows(self) -> usize {
        (self.first_row + self.rows) as usize
    }

    /// Shape of chunk `chunk`.
    fn shape(self, chunk: usize) -> CrossEntropyShape {
        let first_token = if chunk == 0 { 0 } else { self.chunks[chunk - 1] };
        let tokens = self.chunks[chunk] - first_token;
        let columns = tokens.next_multiple_of(4) + self.padding;
        CrossEntropyShape { rows: self.rows.into(), first_token, columns, tokens, first_row: self.first_row }
    }

    /// Every fifth row is ignored, with a weight that is not a number. Every seventh has its target far above the others,
    /// and every third is nearly uniform at the largest magnitude.
    fn inputs(self) -> Inputs {
        let mut random = RandomInputs::new(u64::from(self.rows * 7 + self.vocabulary()));
        let v = self.vocabulary() as usize;
        let mut logits: Vec<f32> =
            random.floats(self.rows as usize * v).iter().map(|logit| self.range * logit).collect();
        let mut targets = random.integers(self.all_rows(), self.vocabulary());
        let mut weight = random.floats(self.all_rows());
        for (r, row) in logits.chunks_mut(v).enumerate() {
            let at = self.first_row as usize + r;
            if r % 3 == 2 {
                let offset = if r % 2 == 0 { self.range } else { -self.range };
                row.iter_mut().for_each(|logit| *logit = offset + *logit / self.range);
            }
            if r % 7 == 3 {
                row[targets[at] as usize] = self.range + 30.0;
            }
            if r % 5 == 4 {
                (targets[at], weight[at]) = (IGNORED, f32::NAN);
            }
        }
        Inputs { logits, targets, weight, vocabulary: v }
    }
}

impl Inputs {
    /// Logits of a chunk, with large values in the columns that do not count.
    fn chunk(&self, shape: &CrossEntropyShape) -> Vec<f32> {
        let (first, tokens) = (shape.first_token as usize, shape.tokens as usize);
        let padding = vec![3e4; shape.columns as usize - tokens];
        let of_row = |row: &[f32]| [&row[first..first + tokens], &padding].concat();
        self.logits.chunks(self.vocabulary).flat_map(of_row).collect()
    }

    /// Statistics over the tokens below `end`, 0 for rows before the window.
    fn statistics(&self, end: usize, first_row: usize) -> Vec<f64> {
        let of_row = |(r, row): (usize, &[f32])| {
            let [top, sum, weighted] = sums_reference(&wide(&row[..end]));
            let target = self.targets[first_row + r] as usize;
            [top, sum, weighted, row[..end].get(target).map_or(0.0, |logit| f64::from(*logit))]
        };
        let rows = self.logits.chunks(self.vocabulary).enumerate().flat_map(of_row);
        std::iter::repeat_n(0.0, 4 * first_row).chain(rows).collect()
    }
}

fn cases_of(gpu: &Gpu, case: fn(Sizes, usize, u32) -> Case) -> Vec<Case> {
    let of_sizes = |sizes: Sizes| {
        let of_chunk = move |chunk: usize| {
            let lanes = lanes_of(gpu, sizes.rows, &sizes.shape(chunk));
            lanes.into_iter().map(move |lanes| case(sizes, chunk, lanes))
        };
        (0..sizes.chunks.len()).flat_map(of_chunk)
    };
    SIZES.into_iter().flat_map(of_sizes).collect()
}

fn name(sizes: Sizes, shape: &CrossEntropyShape, lanes: u32) -> String {
    let CrossEntropyShape { first_token, columns, tokens, first_row, .. } = shape;
    let Sizes { rows, range, .. } = sizes;
    format!("({rows}, {columns}) tokens {first_token} + {tokens} from row {first_row}, ±{range}, {lanes} lanes")
}

fn statistics_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, statistics_case).into_iter().chain([(20, 7), (70, 1)].map(dynamic_case)).collect()
}

fn statistics_case(sizes: Sizes, chunk: usize, lanes: u32) -> Case {
    let (shape, inputs) = (sizes.shape(chunk), sizes.inputs());
    let first_row = sizes.first_row as usize;
    let before: Vec<f32> = match chunk {
        // The first chunk starts the statistics, whatever they were.
        0 => inputs
            .statistics(1, first_row)
            .iter()
            .map(|value| *value as f32)
            .enumerate()
            .map(|(i, value)| if i < 4 * first_row { value } else { f32::NAN })
            .collect(),
        _ => inputs.statistics(shape.first_token as usize, first_row).iter().map(|value| *value as f32).collect(),
    };
    let expected = inputs.statistics((shape.first_token + shape.tokens) as usize, first_row);
    Case {
        name: name(sizes, &shape, lanes),
        inputs: vec![
            ("logits", inputs.chunk(&shape).into()),
            ("targets", inputs.targets.into()),
            ("statistics", before.into()),
        ],
        outputs: vec![("statistics", Expected::Near { values: expected, tolerance: 1e-6 })],
        record: Box::new(move |plan, buffers| {
            CrossEntropyStatistics::from_case(buffers)?.record_lanes(plan, &shape, lanes)
        }),
    }
}

/// Only `live` of `capacity` rows exist, which only the GPU knows.
fn dynamic_case((capacity, live): (u32, u32)) -> Case {
    let sizes = Sizes { rows: capacity, first_row: 0, chunks: &[65], padding: 0, range: 4.0 };
    let lanes = 4;
    let mut case = statistics_case(sizes, 0, lanes);
    case.name = format!("{live} of {}", case.name);
    case.inputs.push(("live", vec![live].into()));
    let shape = sizes.shape(0);
    if let Expected::Near { values, .. } = &mut case.outputs[0].1 {
        values.truncate(4 * live as usize);
    }
    case.record = Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
        let live = DynamicRows::new(buffers.view("live")?, 0, capacity, 1);
        plan.write_indirect_args(&live.live)?;
        let shape = CrossEntropyShape { rows: live.into(), ..shape.clone() };
        CrossEntropyStatistics::from_case(buffers)?.record_lanes(plan, &shape, lanes)
    });
    case
}

fn gradient_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, gradient_case)
}

fn gradient_case(sizes: Sizes, chunk: usize, lanes: u32) -> Case {
    let (shape, inputs) = (sizes.shape(chunk), sizes.inputs());
    let (v, first_row) = (inputs.vocabulary, sizes.first_row as usize);
    let statistics: Vec<f32> = inputs.statistics(v, first_row).iter().map(|value| *value as f32).collect();
    let logits = wide(&inputs.logits);
    let (targets, weight) = (&inputs.targets[first_row..], wide(&inputs.weight[first_row..]));
    let (loss, entropy) = loss_reference(&logits, targets, v);
    let all = gradient_reference(&logits, targets, &weight, v);
    let (first, tokens) = (shape.first_token as usize, shape.tokens as usize);
    let padding = vec![0.0; shape.columns as usize - tokens];
    let d_logits = all.chunks(v).flat_map(|row| [&row[first..first + tokens], &padding].concat()).collect();
    // Rows before the window keep their values.
    let before = vec![0.5f32; sizes.all_rows()];
    let with_before = |values: Vec<f64>| [vec![0.5; first_row], values].concat();
    Case {
        name: name(sizes, &shape, lanes),
        inputs: vec![
            ("logits", inputs.chunk(&shape).into()),
            ("targets", inputs.targets.into()),
            ("weight", inputs.weight.into()),
            ("statistics", statistics.into()),
            ("loss", before.clone().into()),
            ("entropy", before.into()),
        ],
        outputs: vec![
            ("logits", Expected::Near { values: d_logits, tolerance: 2e-6 }),
            ("loss", Expected::Near { values: with_before(loss), tolerance: 2e-6 }),
            ("entropy", Expected::Near { values: with_before(entropy), tolerance: 2e-6 }),
        ],
        record: Box::new(move |plan, buffers| {
            CrossEntropyGradient::from_case(buffers)?.record_lanes(plan, &shape, lanes)
        }),
    }
}
