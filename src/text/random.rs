//! Counter-based random numbers of the host.

use crate::kernels::nn::categorical::philox;

/// What random numbers are drawn for. Streams of different purposes are independent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    #[cfg(any(feature = "runs", test))]
    Windows = 1,
    SortingTraining = 2,
    SortingHeldOut = 3,
}

/// Random words of one example: Philox4x32-10 with the seed as key, and (example, purpose, n) as counter of words 4n to
/// 4n + 3. They depend on nothing else.
pub(super) struct RandomWords {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl RandomWords {
    pub(super) fn new(seed: u64, purpose: Purpose, example: u64) -> Self {
        let halves = |value: u64| [value as u32, (value >> 32) as u32];
        let [low, high] = halves(example);
        Self { key: halves(seed), counter: [low, high, purpose as u32, 0], words: [0; 4], used: 4 }
    }

    fn next(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox(self.counter, self.key);
            self.counter[3] = self.counter[3].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Integer in [0, end), uniform up to 2⁻⁶⁴ `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let word = u64::from(self.next()) << 32 | u64::from(self.next());
        ((u128::from(word) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_examples_purposes_and_seeds_differ() {
        let draw = |seed, purpose, example| {
            let mut words = RandomWords::new(seed, purpose, example);
            [words.below(1 << 32), words.below(1 << 32), words.below(1 << 32)]
        };
        let first = draw(1, Purpose::Windows, 0);
        assert_eq!(first, draw(1, Purpose::Windows, 0));
        assert!(first[0] != first[1] && first[1] != first[2]);
        for other in [
            draw(2, Purpose::Windows, 0),
            draw(1 + (1 << 32), Purpose::Windows, 0),
            draw(1, Purpose::SortingTraining, 0),
            draw(1, Purpose::Windows, 1),
            draw(1, Purpose::Windows, 1 << 32),
        ] {
            assert!(first.iter().zip(other).all(|(a, b)| *a != b));
        }
    }

    #[test]
    fn integers_are_uniform() {
        let mut counts = [0u32; 7];
        let mut words = RandomWords::new(5, Purpose::Windows, 3);
        (0..70_000).for_each(|_| counts[words.below(7) as usize] += 1);
        // Five standard deviations of a count, √(10⁴ · 6/7) = 93.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 465), "{counts:?}");
    }
}
