//! Sorting of letters: the task of minGPT's demo.

use super::random::{Purpose, RandomWords};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::{Batches, IGNORED, TokenBatch};

/// Number of inputs up to which [`Sorting::new`] counts those that are held out.
const COUNTED: u64 = 4096;

/// Sizes of the sorting task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortingSizes {
    /// Letters of an input, n.
    pub length: usize,
    /// Size of the alphabet V.
    pub letters: usize,
    /// Sequences of a batch B.
    pub sequences: usize,
    /// Number of held-out examples.
    pub held_out: u64,
}

/// Examples of sorting: an input of n letters followed by the sorted letters, without the last one, T = 2n − 1 tokens.
/// The n − 1 targets within the input are ignored. This is the dataset of minGPT's demo
/// (<https://github.com/karpathy/minGPT/blob/master/demo.ipynb>):
///
/// - letters are uniform; with probability 1/2 an input with more than n/2 different letters is drawn again, so that
///   repeats are more frequent;
/// - about a quarter of all inputs is held out, and an input of the other part is drawn again. minGPT decides this by a
///   hash of Python. Here h = 0, then h ← mix(h + letter + 1) for each letter in order, where mix is the finalizer of
///   SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), and inputs with h mod 4 = 0 are held out.
///
/// Example r of batch i has the number i·B + r, on which it depends with the seed. Held-out examples do not depend on the
/// seed and can repeat.
#[derive(Debug, Clone)]
pub struct Sorting {
    sizes: SortingSizes,
    seed: u64,
}

impl Sorting {
    /// Task of these sizes.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if a size is 0, there is a single letter, or so few inputs that none is held out or none is
    /// left for training.
    pub fn new(sizes: SortingSizes, seed: u64) -> Result<Self> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        let SortingSizes { length, letters, sequences, .. } = sizes;
        for (name, value, least) in [("length", length, 1), ("letters", letters, 2), ("sequences", sequences, 1)] {
            if value < least {
                return error(format!("{name} is {value}, expected at least {least}; correct it"));
            }
        }
        let inputs = u32::try_from(length).ok().and_then(|length| (letters as u64).checked_pow(length));
        if let Some(inputs) = inputs.filter(|inputs| *inputs <= COUNTED) {
            let held_out = (0..inputs).filter(|number| is_held_out(&numbered(*number, &sizes))).count() as u64;
            if held_out == 0 || held_out == inputs {
                let message =
                    format!("of {inputs} inputs of length {length} of {letters} letters {held_out} are held out");
                return error(format!("{message}, expected some of both; use a larger length or more letters"));
            }
        }
        Ok(Self { sizes, seed })
    }

    /// Input of the training example of number `example`, (n) letters.
    pub fn training_input(&self, example: u64) -> Vec<u32> {
        self.input(RandomWords::new(self.seed, Purpose::SortingTraining, example), false)
    }

    /// Input of the held-out example of number `example`, (n) letters.
    pub fn held_out_input(&self, example: u64) -> Vec<u32> {
        self.input(RandomWords::new(0, Purpose::SortingHeldOut, example), true)
    }

    fn input(&self, mut words: RandomWords, held_out: bool) -> Vec<u32> {
        let SortingSizes { length, letters, .. } = self.sizes;
        loop {
            let input: Vec<u32> = (0..length).map(|_| words.below(letters as u64) as u32).collect();
            let is_boosted = words.below(2) == 0;
            if (!is_boosted || different(&input) <= length / 2) && is_held_out(&input) == held_out {
                return input;
            }
        }
    }

    /// Appends the example of an input, or of none a row without targets.
    fn append(&self, batch: &mut TokenBatch, input: Option<Vec<u32>>) {
        let length = self.sizes.length;
        let Some(input) = input else {
            batch.tokens.extend(std::iter::repeat_n(0, 2 * length - 1));
            batch.targets.extend(std::iter::repeat_n(IGNORED, 2 * length - 1));
            return;
        };
        let answer = Self::answer(&input);
        batch.tokens.extend(input.iter().chain(&answer[..length - 1]));
        batch.targets.extend(std::iter::repeat_n(&IGNORED, length - 1).chain(&answer));
    }

    /// The letters of an input in order.
    pub fn answer(input: &[u32]) -> Vec<u32> {
        let mut answer = input.to_vec();
        answer.sort_unstable();
        answer
    }

    /// Sizes of the task.
    pub fn sizes(&self) -> SortingSizes {
        self.sizes
    }
}

impl Batches for Sorting {
    fn shape(&self) -> (usize, usize) {
        (self.sizes.sequences, 2 * self.sizes.length - 1)
    }

    fn training(&self, index: u64) -> TokenBatch {
        let mut batch = TokenBatch::default();
        let first = index.wrapping_mul(self.sizes.sequences as u64);
        for row in 0..self.sizes.sequences as u64 {
            self.append(&mut batch, Some(self.training_input(first.wrapping_add(row))));
        }
        batch
    }

    fn validation_batches(&self) -> u64 {
        self.sizes.held_out.div_ceil(self.sizes.sequences as u64)
    }

    fn validation(&self, index: u64) -> TokenBatch {
        let mut batch = TokenBatch::default();
        let first = index.saturating_mul(self.sizes.sequences as u64);
        for row in 0..self.sizes.sequences as u64 {
            let example = first.saturating_add(row);
            self.append(&mut batch, (example < self.sizes.held_out).then(|| self.held_out_input(example)));
        }
        batch
    }
}

/// Number of different letters.
fn different(input: &[u32]) -> usize {
    let mut letters = Sorting::answer(input);
    letters.dedup();
    letters.len()
}

/// Input of a number, whose digits in the base of the alphabet are the letters.
fn numbered(number: u64, sizes: &SortingSizes) -> Vec<u32> {
    let letters = sizes.letters as u64;
    std::iter::successors(Some(number), |rest| Some(rest / letters))
        .map(|rest| (rest % letters) as u32)
        .take(sizes.length)
        .collect()
}

/// Whether an input is held out.
fn is_held_out(input: &[u32]) -> bool {
    let mix = |mut bits: u64| {
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    input.iter().fold(0u64, |hash, letter| mix(hash.wrapping_add(u64::from(*letter) + 1))).is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: SortingSizes = SortingSizes { length: 6, letters: 3, sequences: 8, held_out: 5000 };

    fn sorting() -> Sorting {
        Sorting::new(SIZES, 7).unwrap()
    }

    #[test]
    fn examples_are_those_of_the_demo() {
        let task = sorting();
        assert_eq!(task.shape(), (8, 11));
        // Input: 0 0 2 1 0 1, output: 0 0 0 1 1 2.
        let mut batch = TokenBatch::default();
        task.append(&mut batch, Some(vec![0, 0, 2, 1, 0, 1]));
        assert_eq!(batch.tokens, [0, 0, 2, 1, 0, 1, 0, 0, 0, 1, 1]);
        let ignored = [IGNORED; 5];
        assert_eq!(batch.targets, [&ignored[..], &[0, 0, 0, 1, 1, 2]].concat());
        for batch in [task.training(3), task.validation(3)] {
            for (tokens, targets) in batch.tokens.chunks(11).zip(batch.targets.chunks(11)) {
                assert_eq!(targets[..5], ignored);
                assert_eq!(targets[5..], Sorting::answer(&tokens[..6]));
                assert_eq!(tokens[6..], targets[5..10]);
            }
        }
    }

    #[test]
    fn a_quarter_of_the_inputs_is_held_out() {
        let held_out = |sizes: SortingSizes| {
            let inputs = (sizes.letters as u64).pow(sizes.length as u32);
            (0..inputs).filter(|number| is_held_out(&numbered(*number, &sizes))).count()
        };
        assert_eq!(held_out(SIZES), 187);
        let larger = held_out(SortingSizes { length: 5, letters: 10, ..SIZES });
        // Five standard deviations of a binomial distribution, √(10⁵ · 3/16) = 137.
        assert!(larger.abs_diff(25_000) < 685, "{larger}");
    }

    #[test]
    fn training_and_held_out_inputs_are_disjoint_and_complete() {
        let task = sorting();
        let collect =
            |input: &dyn Fn(u64) -> Vec<u32>| (0..10_000).map(input).collect::<std::collections::BTreeSet<_>>();
        let [training, held_out] =
            [collect(&|example| task.training_input(example)), collect(&|example| task.held_out_input(example))];
        assert_eq!((training.len(), held_out.len()), (729 - 187, 187));
        assert!(training.is_disjoint(&held_out));
    }

    #[test]
    fn repeats_are_more_frequent_than_by_chance() {
        let task = Sorting::new(SortingSizes { length: 6, letters: 10, ..SIZES }, 1).unwrap();
        let examples = 20_000;
        let few = (0..examples).filter(|example| different(&task.training_input(*example)) <= 3).count();
        // Inputs of six of ten letters with at most three different ones: Σ S(6, k) 10!/(10 − k)! for k = 1, 2, 3 are 10,
        // 2790 and 64,800 of 10⁶, p = 0.0676. Accepted are p of all and half of the others.
        let p: f64 = 0.0676;
        let expected = p / (p + (1.0 - p) / 2.0);
        let error = (expected * (1.0 - expected) / examples as f64).sqrt();
        // Which inputs are held out shifts the fraction, too: 16,900 of 67,600 inputs, give or take 113.
        assert!((few as f64 / examples as f64 - expected).abs() < 5.0 * error + 0.002, "{few}");
    }

    #[test]
    fn a_batch_depends_on_its_number_and_the_seed_only() {
        let task = sorting();
        let batches: Vec<_> = (0..4).map(|index| task.training(index)).collect();
        assert_eq!(sorting().training(3), batches[3]);
        assert_ne!(batches[0], batches[1]);
        let other = Sorting::new(SIZES, 8).unwrap();
        assert_ne!(other.training(3), batches[3]);
        assert_eq!(other.validation(3), task.validation(3));
        let wide = Sorting::new(SortingSizes { sequences: 32, ..SIZES }, 7).unwrap();
        assert_eq!(wide.training(0).tokens, batches.iter().flat_map(|batch| batch.tokens.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn the_held_out_set_has_the_given_size() {
        for held_out in [0, 1, 8, 9, 20] {
            let task = Sorting::new(SortingSizes { held_out, ..SIZES }, 7).unwrap();
            assert_eq!(task.validation_batches(), held_out.div_ceil(8));
            let counted = (0..task.validation_batches()).flat_map(|index| task.validation(index).targets);
            assert_eq!(counted.filter(|target| *target != IGNORED).count() as u64, 6 * held_out);
        }
    }

    #[test]
    fn sizes_without_held_out_inputs_are_errors() {
        let failure = |length, letters, sequences| {
            let error = Sorting::new(SortingSizes { length, letters, sequences, held_out: 1 }, 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            error.to_string()
        };
        assert!(failure(0, 3, 1).contains("length is 0, expected at least 1"));
        assert!(failure(6, 1, 1).contains("letters is 1, expected at least 2"));
        assert!(failure(6, 3, 0).contains("sequences is 0"));
        assert!(failure(1, 2, 1).contains("of 2 inputs of length 1 of 2 letters"));
        // Both parts are drawn from as soon as they are not empty.
        for length in 2..8 {
            for letters in 2..5 {
                if let Ok(task) = Sorting::new(SortingSizes { length, letters, sequences: 1, held_out: 1 }, 1) {
                    assert_ne!(task.training_input(0), task.held_out_input(0));
                }
            }
        }
    }
}
