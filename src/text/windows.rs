//! Batches of windows of a text.

use std::sync::Arc;

use super::Corpus;
use super::random::{Purpose, RandomWords};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::{Batches, IGNORED, TokenBatch};

/// Windows of a text, each token with the next one as target.
///
/// Training windows start anywhere with equal probability, as in nanoGPT. Window r of batch i has the number i·B + r, on
/// which, with the seed, its start depends: the size of batches changes only how windows are grouped. Held-out windows
/// follow one another and cover each held-out token that has a next one once. What is missing in the last ones has no
/// targets.
#[derive(Debug, Clone)]
pub struct Windows {
    corpus: Arc<Corpus>,
    sequences: usize,
    block: usize,
    seed: u64,
}

impl Windows {
    /// Windows of `block` tokens in batches of `sequences`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if a size is 0, or a part of the corpus that is not empty is shorter than a window with its
    /// last target, or both are empty.
    pub fn new(corpus: Arc<Corpus>, sequences: usize, block: usize, seed: u64) -> Result<Self> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        for (name, value) in [("sequences", sequences), ("block", block)] {
            if value == 0 {
                return error(format!("{name} is 0, expected at least 1; correct it"));
            }
        }
        let parts = [("training", corpus.training_tokens()), ("held-out", corpus.held_out_tokens())];
        for (name, tokens) in parts {
            let (found, needed) = (tokens.len(), block + 1);
            if found < needed && (found > 0 || parts.iter().all(|(_, tokens)| tokens.is_empty())) {
                let remedy = "give a longer text, a smaller block or another validation_fraction";
                return error(format!("the {name} text has {found} tokens, a window needs {needed}; {remedy}"));
            }
        }
        Ok(Self { corpus, sequences, block, seed })
    }

    /// Appends the window of `tokens` that begins at `start`; positions beyond the last target are ignored.
    fn append(&self, batch: &mut TokenBatch, tokens: &[u32], start: usize) {
        for i in start..start + self.block {
            let pair = (tokens.get(i), tokens.get(i + 1));
            let (token, target) = if let (Some(token), Some(target)) = pair { (*token, *target) } else { (0, IGNORED) };
            batch.tokens.push(token);
            batch.targets.push(target);
        }
    }
}

impl Batches for Windows {
    fn shape(&self) -> (usize, usize) {
        (self.sequences, self.block)
    }

    /// Without text for training no position has a target.
    fn training(&self, index: u64) -> TokenBatch {
        let tokens = self.corpus.training_tokens();
        let starts = tokens.len().saturating_sub(self.block) as u64;
        let mut batch = TokenBatch::default();
        for row in 0..self.sequences as u64 {
            let window = index.wrapping_mul(self.sequences as u64).wrapping_add(row);
            let start = RandomWords::new(self.seed, Purpose::Windows, window).below(starts);
            self.append(&mut batch, tokens, start as usize);
        }
        batch
    }

    fn validation_batches(&self) -> u64 {
        let positions = self.corpus.held_out_tokens().len().saturating_sub(1);
        positions.div_ceil(self.block).div_ceil(self.sequences) as u64
    }

    fn validation(&self, index: u64) -> TokenBatch {
        let mut batch = TokenBatch::default();
        for row in 0..self.sequences as u64 {
            let window = index.saturating_mul(self.sequences as u64).saturating_add(row);
            let start = window.saturating_mul(self.block as u64).min(self.corpus.held_out_tokens().len() as u64);
            self.append(&mut batch, self.corpus.held_out_tokens(), start as usize);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Tokenizer;

    /// Text whose tokens are 0, 1, 2, ….
    fn counting(tokens: u32) -> String {
        ('一'..).take(tokens as usize).collect()
    }

    fn windows(tokens: u32, fraction: f64, sequences: usize, block: usize, seed: u64) -> Result<Windows> {
        let text = counting(tokens);
        let corpus = Corpus::new(&text, &Tokenizer::characters(&text).unwrap(), fraction).unwrap();
        Windows::new(Arc::new(corpus), sequences, block, seed)
    }

    #[test]
    fn targets_are_the_next_tokens() {
        let windows = windows(1000, 0.1, 6, 16, 4).unwrap();
        let batch = windows.training(11);
        assert_eq!((batch.tokens.len(), batch.targets.len()), (96, 96));
        assert!(batch.tokens.iter().zip(&batch.targets).all(|(token, target)| *target == token + 1));
        assert!(batch.targets.iter().all(|target| *target < 900));
        assert!(batch.tokens.chunks(16).all(|row| row.is_sorted()));
    }

    #[test]
    fn a_batch_depends_on_its_number_and_the_seed_only() {
        let [first, same, other] = [4, 4, 5].map(|seed| windows(1000, 0.1, 6, 16, seed).unwrap());
        assert_eq!(first.training(0), first.training(0));
        let later: Vec<_> = (0..4).map(|index| first.training(index)).collect();
        assert_eq!(same.training(3), later[3]);
        assert_ne!(later[0], later[1]);
        assert_ne!(other.training(3), later[3]);
        // Two windows at once are the same windows.
        let pairs = windows(1000, 0.1, 2, 16, 4).unwrap();
        let tokens: Vec<u32> = (0..12).flat_map(|index| pairs.training(index).tokens).collect();
        assert_eq!(tokens, later.iter().flat_map(|batch| batch.tokens.clone()).collect::<Vec<_>>());
        assert!(first.training(u64::MAX).tokens.len() == 96);
    }

    #[test]
    fn every_start_occurs() {
        // 18 tokens, of which windows of 8 start at 0 to 9.
        let windows = windows(18, 0.0, 64, 8, 1).unwrap();
        let mut counts = [0; 10];
        for index in 0..50 {
            windows.training(index).tokens.chunks(8).for_each(|row| counts[row[0] as usize] += 1);
        }
        // 3200 windows: 320 expected, five standard deviations are 85.
        assert!(counts.iter().all(|count: &i32| (count - 320).abs() < 85), "{counts:?}");
        assert_eq!(windows.validation_batches(), 0);
    }

    #[test]
    fn held_out_windows_cover_each_position_once() {
        for (block, sequences) in [(7, 4), (9, 1), (49, 3), (5, 10), (1, 1), (48, 2)] {
            let windows = windows(500, 0.1, sequences, block, 1).unwrap();
            let mut targets = Vec::new();
            for index in 0..windows.validation_batches() {
                let batch = windows.validation(index);
                assert_eq!((batch.tokens.len(), batch.targets.len()), (sequences * block, sequences * block));
                assert!(batch.targets.iter().any(|target| *target != IGNORED));
                for (token, target) in batch.tokens.iter().zip(&batch.targets) {
                    if *target == IGNORED {
                        assert_eq!(*token, 0);
                    } else {
                        assert_eq!(*target, token + 1);
                        targets.push(*target);
                    }
                }
            }
            assert_eq!(targets, (451..500).collect::<Vec<_>>(), "{block} {sequences}");
            let beyond = windows.validation(windows.validation_batches());
            assert!(beyond.targets.iter().all(|target| *target == IGNORED));
        }
    }

    #[test]
    fn texts_shorter_than_a_window_are_errors() {
        let failure = |windows: Result<Windows>| {
            let error = windows.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            error.to_string()
        };
        assert!(failure(windows(100, 0.1, 2, 90, 1)).contains("the training text has 90 tokens, a window needs 91"));
        assert!(failure(windows(100, 0.1, 2, 10, 1)).contains("the held-out text has 10 tokens, a window needs 11"));
        assert!(windows(100, 0.1, 2, 9, 1).is_ok());
        assert!(failure(windows(100, 0.1, 0, 9, 1)).contains("sequences is 0"));
        assert!(failure(windows(100, 0.1, 2, 0, 1)).contains("block is 0"));
        let tokenizer = Tokenizer::letters(2).unwrap();
        let held_out = |text: &str| Windows::new(Arc::new(Corpus::held_out(text, &tokenizer).unwrap()), 1, 2, 1);
        assert!(failure(held_out("")).contains("the training text has 0 tokens"));
        assert!(failure(held_out("AB")).contains("the held-out text has 2 tokens, a window needs 3"));
        let windows = held_out("ABA").unwrap();
        assert_eq!((windows.validation_batches(), windows.validation(0).targets), (1, vec![1, 0]));
        assert_eq!(windows.training(0).targets, [IGNORED; 2]);
    }
}
