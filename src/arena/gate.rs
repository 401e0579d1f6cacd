//! Check of runs: inputs unmodified, outputs written, sampled rows equal to the reference.

use super::candidate::{Inputs, OutputSet, Placed};
use super::contract::Rejection;
use super::problem::AttentionProblem;
use super::reference::{ExpectedRows, Sampled, expected, sample};
use super::row::Status;
use crate::error::Result;
use crate::gpu::{Buffer, DType, Gpu, Plan, View};
use crate::kernels::{Comparison, RandomInputs};

/// Distance in words between counts, the smallest that bindings allow.
const DISTANCE: u64 = 64;

/// Counts on the device, one after the other.
struct Counts {
    buffer: Buffer,
    names: Vec<String>,
}

impl Counts {
    fn new(gpu: &Gpu, most: u64) -> Result<Self> {
        let buffer = gpu.buffer("arena.counts", most * DISTANCE)?;
        buffer.write(gpu, &vec![0u32; (most * DISTANCE) as usize])?;
        Ok(Self { buffer, names: Vec::new() })
    }

    fn next(&mut self, name: &str) -> Result<View> {
        self.names.push(name.into());
        self.buffer.range(name, (self.names.len() as u64 - 1) * DISTANCE, 2)
    }

    async fn read(&self, gpu: &Gpu) -> Result<Vec<(&str, [u32; 2])>> {
        let words: Vec<u32> = self.buffer.read_async(gpu, self.names.len() * DISTANCE as usize).await?;
        let pairs = words.chunks(DISTANCE as usize).map(|chunk| [chunk[0], chunk[1]]);
        Ok(self.names.iter().map(String::as_str).zip(pairs).collect())
    }
}

/// Runs that passed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passed {
    /// Largest error relative to its tolerance: the error and the tolerance.
    pub worst: Option<[f64; 2]>,
    /// Words of outputs that differ between runs of the same inputs.
    pub differing: u64,
}

impl Passed {
    /// Both results.
    pub(super) fn and(self, other: Self) -> Self {
        let share = |worst: &[f64; 2]| worst[0] / worst[1];
        let all = [self.worst, other.worst].into_iter().flatten();
        let worst = all.max_by(|a, b| share(a).total_cmp(&share(b)));
        Self { worst, differing: self.differing + other.differing }
    }
}

/// Checks the runs in `sets` on `inputs` drawn for `seed`, rows of one of them against the reference. All of them have the
/// same inputs; `differing` counts the words in which they differ from the first.
///
/// # Errors
/// Failures of the device.
pub(super) async fn check(
    gpu: &Gpu,
    problem: &AttentionProblem,
    inputs: &Inputs,
    sets: &[&OutputSet],
    seed: u64,
    random: &mut RandomInputs,
) -> Result<std::result::Result<Passed, Rejection>> {
    let Some(first) = sets.first() else { return Ok(Ok(Passed::default())) };
    let mut counts = Counts::new(gpu, 4 + 8 * sets.len() as u64)?;
    let mut plan = Plan::new(gpu);
    inputs.count_modified(&mut plan, problem, seed, |name| counts.next(&format!("input {name}")))?;
    for set in sets {
        set.count(&mut plan, first, |name| counts.next(name))?;
    }
    plan.submit();
    let mut differing = 0;
    let mut unwritten = None;
    for (name, [count, other]) in counts.read(gpu).await? {
        if let Some(input) = name.strip_prefix("input ").filter(|_| count > 0) {
            let message = format!("{count} elements of `{input}`, which is an input, were modified");
            return Ok(Err(Rejection::new(Status::ModifiedInput, message)));
        }
        if count > 0 && unwritten.is_none() {
            unwritten = Some(format!("{count} elements of `{name}` were not written"));
        }
        differing += u64::from(other);
    }
    if let Some(message) = unwritten {
        return Ok(Err(Rejection::new(Status::IncorrectShape, message)));
    }
    let set = sets[random.integers(1, sets.len() as u32)[0] as usize];
    let drawn = problem.inputs(seed);
    let mut passed = Passed { worst: None, differing };
    for sampled in sample(problem, &drawn, random) {
        let expected = expected(problem, &drawn, &sampled);
        for comparison in compare(gpu, problem, set, &sampled, &expected).await? {
            if !comparison.passed() {
                let message = format!(
                    "`{}` has an error of {:.1e}, the tolerance is {:.1e} (sample {}, head {} of keys, seed {seed})",
                    comparison.output, comparison.error, comparison.tolerance, sampled.sample, sampled.key_head
                );
                return Ok(Err(Rejection::new(Status::IncorrectNumerical, message)));
            }
            passed = passed.and(Passed { worst: Some([comparison.error, comparison.tolerance]), differing: 0 });
        }
    }
    Ok(Ok(passed))
}

/// Comparisons of the sampled rows of all outputs.
async fn compare(
    gpu: &Gpu,
    problem: &AttentionProblem,
    set: &OutputSet,
    sampled: &Sampled,
    expected: &ExpectedRows,
) -> Result<Vec<Comparison>> {
    let [of_outputs, of_gradients] = problem.tolerances();
    let queries = || sampled.queries.iter().map(|[head, position]| [sampled.sample, *position, *head]);
    let keys = || sampled.keys.iter().map(|position| [sampled.sample, *position, sampled.key_head]);
    let mut all = vec![near(gpu, "o", &set.o, queries(), &expected.o, of_outputs).await?];
    if let Some(lse) = &set.lse {
        all.push(near(gpu, "lse", lse, queries(), &expected.lse, of_outputs).await?);
    }
    if let Some([d_q, d_k, d_v]) = &set.gradients {
        all.push(near(gpu, "d_q", d_q, queries(), &expected.d_q, of_gradients).await?);
        all.push(near(gpu, "d_k", d_k, keys(), &expected.d_k, of_gradients).await?);
        all.push(near(gpu, "d_v", d_v, keys(), &expected.d_v, of_gradients).await?);
    }
    Ok(all)
}

/// Compares rows of a tensor.
async fn near(
    gpu: &Gpu,
    name: &'static str,
    placed: &Placed,
    rows: impl Iterator<Item = [u32; 3]>,
    expected: &[f64],
    tolerance: f64,
) -> Result<Comparison> {
    let ranges: Vec<std::ops::Range<u64>> = rows.map(|row| placed.row(row)).collect();
    let words = placed.view.gather_async(gpu, &ranges).await?;
    let values = ranges.iter().zip(&words).flat_map(|(range, words)| elements(words, range, placed.view.storage()));
    Ok(Comparison { output: name, error: error(&values.collect::<Vec<_>>(), expected), tolerance })
}

/// Largest error relative to the largest expected magnitude, which counts as 1 at least: where softmax selects one key,
/// gradients vanish but for rounding, while inputs have magnitudes of 1. Infinite for NaN.
fn error(values: &[f32], expected: &[f64]) -> f64 {
    let scale = expected.iter().map(|value| value.abs()).fold(1.0, f64::max);
    let distance = |(value, expected): (&f32, &f64)| (f64::from(*value) - expected).abs() / scale;
    let errors =
        values.iter().zip(expected).map(distance).map(|error| if error.is_nan() { f64::INFINITY } else { error });
    if values.len() == expected.len() { errors.fold(0.0, f64::max) } else { f64::INFINITY }
}

/// Elements of a range, from the words that contain it.
fn elements(words: &[u32], range: &std::ops::Range<u64>, dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F16 => {
            let halves = words.iter().flat_map(|word| [*word as u16, (*word >> 16) as u16]);
            let wide = halves.map(|half| half::f16::from_bits(half).to_f32());
            wide.skip((range.start % 2) as usize).take((range.end - range.start) as usize).collect()
        }
        _ => words.iter().map(|word| f32::from_bits(*word)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_to_magnitudes_of_inputs() {
        assert_eq!(error(&[3.0, 4.0], &[3.0, 8.0]), 0.5);
        assert_eq!(error(&[1e-6], &[0.0]), f64::from(1e-6f32));
        assert_eq!(error(&[f32::NAN, 1.0], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(error(&[1.0], &[1.0, 1.0]), f64::INFINITY);
    }

    #[test]
    fn halves_are_cut_out_of_words() {
        let half = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
        let words = [half(1.0) | half(2.0) << 16, half(3.0) | half(4.0) << 16];
        assert_eq!(elements(&words, &(5..7), DType::F16), [2.0, 3.0]);
        assert_eq!(elements(&[2.5f32.to_bits()], &(9..10), DType::F32), [2.5]);
    }
}
