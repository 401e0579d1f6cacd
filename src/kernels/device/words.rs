//! Buffers as words: filling, and counts of words that were not written or that differ.
//!
//! ```text
//! fill    x[i] = word
//! count   counts[0] += #{elements of a with the bits of word}      counts[1] += #{i: a[i] ≠ b[i]}
//! ```

use crate::error::Result;
use crate::gpu::{Cost, DType, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static FILL: Kernel = kernel!("device", "fill_words");
pub(super) static COUNT: Kernel = kernel!("device", "count_words");

record! {
    /// A buffer of equal words.
    #[derive(Debug, Clone)]
    pub struct FillWords {
        /// (vectors) of four words
        pub x: View,
    }
}

impl FillWords {
    /// Records the kernel for the first `vectors` vec4s of words.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, vectors: u32, word: u32) -> Result<()> {
        let words = 4 * u64::from(vectors);
        let x = self.x.clone().stored_as(DType::F32);
        plan.launch(&Launch {
            kernel: &FILL,
            spec: &[],
            bindings: &bind!(x[words]),
            params: &[("vectors", vectors.into()), ("word", word.into())],
            groups: Rows::from(vectors).groups(256, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * words as f64 },
            shape: format!("({vectors})"),
        })
    }
}

record! {
    /// Counts of elements with given bits, and of differing words.
    #[derive(Debug, Clone)]
    pub struct CountWords {
        /// (elements), f32 or f16
        pub a: View,
        /// As `a`
        pub b: View,
        /// (2), u32, added to
        pub counts: View,
    }
}

impl CountWords {
    /// Records the kernel for `elements` elements of the type of `a`. `word` holds the bits of one f32 or of two f16.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u32, word: u32) -> Result<()> {
        let per_word = 4 / self.a.storage().bytes() as u32;
        let words = elements.div_ceil(per_word);
        let (a, b) = (self.a.clone().stored_as(DType::F32), self.b.clone().stored_as(DType::F32));
        plan.launch(&Launch {
            kernel: &COUNT,
            spec: &[],
            bindings: &bind!(a[words.into()], b[words.into()], self.counts[2]),
            params: &[("elements", elements.into()), ("per_word", per_word.into()), ("word", word.into())],
            groups: Rows::from(words).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * f64::from(words) },
            shape: format!("({elements})"),
        })
    }
}

/// Reference: the counts of the words of `a` and `b`, exact integers.
pub(crate) fn count_reference(a: &[u32], b: &[u32], elements: u32, per_word: u32, word: u32) -> [u32; 2] {
    let halves = |word: u32| [word & 0xffff, word >> 16];
    let kept = match per_word {
        1 => a.iter().filter(|own| **own == word).count(),
        _ => {
            let equal = a.iter().flat_map(|own| [0, 1].map(|i| halves(*own)[i] == halves(word)[i]));
            equal.take(elements as usize).filter(|equal| *equal).count()
        }
    };
    [kept as u32, a.iter().zip(b).filter(|(a, b)| a != b).count() as u32]
}
