//! Prompts of the continuations of a step.

use ketformer::gpt::{Batches, Prompts};
use ketformer::text::{Sorting, Windows};

/// Where the prompts of a step come from.
#[derive(Clone)]
pub enum PromptSource {
    /// One prompt for all samples.
    Given {
        /// Its tokens.
        prompt: Vec<u32>,
        /// Number of samples.
        samples: usize,
    },
    /// Training windows of a text.
    Text(Windows),
    /// Words to sort.
    Words(Sorting),
}

impl Prompts for PromptSource {
    fn prompts(&self, step: u64) -> Vec<Vec<u32>> {
        match self {
            Self::Given { prompt, samples } => vec![prompt.clone(); *samples],
            Self::Text(windows) => {
                let (_, tokens) = windows.shape();
                windows.training(step - 1).tokens.chunks(tokens).map(<[u32]>::to_vec).collect()
            }
            Self::Words(sorting) => {
                let samples = sorting.sizes().sequences as u64;
                ((step - 1) * samples..step * samples).map(|example| sorting.training_input(example)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ketformer::text::SortingSizes;

    use super::*;

    #[test]
    fn prompts_of_a_step_depend_on_its_number() {
        let sizes = SortingSizes { length: 4, letters: 3, sequences: 5, held_out: 10 };
        let sorting = Sorting::new(sizes, 1).unwrap();
        let words = PromptSource::Words(sorting.clone());
        let expected: Vec<Vec<u32>> = (5..10).map(|example| sorting.training_input(example)).collect();
        assert_eq!(words.prompts(2), expected);
        assert_ne!(words.prompts(1), expected);
        let given = PromptSource::Given { prompt: vec![1, 2], samples: 3 };
        assert_eq!(given.prompts(7), vec![vec![1, 2]; 3]);
    }
}
