//! Problems of attention benchmarks: sizes, mask, element type and passes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, DType};
use crate::kernels::attention::inputs::DrawnInputs;

/// Keys that a query sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mask {
    /// Those up to its own position. The queries are the last positions of the keys.
    #[default]
    Causal,
    /// All.
    Full,
}

/// Passes of a benchmark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pass {
    /// Outputs.
    #[default]
    Forward,
    /// Outputs, and gradients of queries, keys and values.
    ForwardBackward,
}

/// Problem of an attention benchmark: softmax(q kᵀ / √D) v of B samples, H heads, S queries and keys of width D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionProblem {
    /// Samples B.
    pub samples: u32,
    /// Heads H of queries.
    pub heads: u32,
    /// Heads HK of keys and values, a divisor of `heads`.
    pub key_heads: u32,
    /// Queries S of a sample.
    pub queries: u32,
    /// Keys SK of a sample.
    pub keys: u32,
    /// Width D of a head.
    pub width: u32,
    /// Mask.
    pub mask: Mask,
    /// Element type of inputs and outputs. The logarithm of the sum of exponentials is f32.
    pub dtype: DType,
    /// Passes.
    pub pass: Pass,
}

/// Words of an enumeration on the command line and in rows.
macro_rules! words {
    ($type:ident, $what:literal, $($variant:ident $word:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            /// # Errors
            /// [`ErrorKind::Settings`], with all words.
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let words = [$($word),+].join(", ");
                        let message = format!(concat!("bench: `{}` is not ", $what, "; give {}"), text, words);
                        Err(Error::new(ErrorKind::Settings, message))
                    }
                }
            }
        }
    };
}
words!(Mask, "a mask", Causal "causal", Full "full");
words!(Pass, "a pass", Forward "forward", ForwardBackward "forward-backward");

/// Operations of a backward pass divided by those of the forward pass: five products over the pairs instead of two.
const BACKWARD: f64 = 2.5;

/// Example of a shape for messages.
const EXAMPLES: &str = "BxHxSxD such as 4x12x1024x64, 1x32/8x2048x128 with 8 heads of keys, or 1x32/8x1:4096x128 with one \
                        query and 4096 keys";

impl AttentionProblem {
    /// Parses sizes as in `4x12x1024x64`, `1x32/8x2048x128` (heads of queries / heads of keys) and `1x32/8x1:4096x128`
    /// (queries : keys), for a causal forward pass in f32.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with an example.
    pub fn parse(shape: &str) -> Result<Self> {
        let fault = || {
            Error::new(ErrorKind::Settings, format!("bench: `{shape}` is not a shape of attention; give {EXAMPLES}"))
        };
        let number = |word: &str| word.trim().parse().ok().filter(|size| (1..=1 << 28).contains(size));
        let pair = |word: &str, between: char| match word.split_once(between) {
            Some((first, second)) => Some((number(first)?, number(second)?)),
            None => number(word).map(|size| (size, size)),
        };
        let words: Vec<&str> = shape.split(['x', 'X', '×', ',']).collect();
        let [samples, heads, positions, width] = words[..] else { return Err(fault()) };
        let (samples, width) = (number(samples).ok_or_else(fault)?, number(width).ok_or_else(fault)?);
        let (heads, key_heads) = pair(heads, '/').ok_or_else(fault)?;
        let (queries, keys) = pair(positions, ':').ok_or_else(fault)?;
        let problem = Self {
            samples,
            heads,
            key_heads,
            queries,
            keys,
            width,
            mask: Mask::Causal,
            dtype: DType::F32,
            pass: Pass::Forward,
        };
        problem.check().map(|()| problem)
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`].
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("bench: shape {self} {message}")));
        let sizes = [self.samples, self.heads, self.key_heads, self.queries, self.keys, self.width];
        if sizes.contains(&0) {
            return error(format!("has a size of 0; give {EXAMPLES}"));
        }
        if !self.heads.is_multiple_of(self.key_heads) {
            let (heads, key_heads) = (self.heads, self.key_heads);
            return error(format!(
                "has {heads} heads on {key_heads} of keys; give heads that are a multiple of those of keys"
            ));
        }
        if self.queries > self.keys {
            return error("has more queries than keys; give at least as many keys".into());
        }
        let elements = self.elements().into_iter().max().unwrap_or(0);
        if elements >= 1 << 31 {
            return error(format!(
                "needs {elements} elements of a tensor, at most 2³¹ are possible; give smaller sizes"
            ));
        }
        Ok(())
    }

    /// Elements of q (as many as of o), and of k (as many as of v).
    pub fn elements(&self) -> [u64; 2] {
        let product = |sizes: [u32; 4]| sizes.map(u64::from).iter().product();
        [
            product([self.samples, self.heads, self.queries, self.width]),
            product([self.samples, self.key_heads, self.keys, self.width]),
        ]
    }

    /// Rows of q, each of which has one logarithm of a sum of exponentials.
    pub fn query_rows(&self) -> u64 {
        [self.samples, self.heads, self.queries].map(u64::from).iter().product()
    }

    /// Inputs of the problem for a seed.
    pub fn inputs(&self, seed: u64) -> DrawnInputs {
        let Self { samples, heads, key_heads, queries, keys, width, mask, .. } = *self;
        DrawnInputs { samples, heads, key_heads, queries, keys, width, causal: mask == Mask::Causal, seed }
    }

    /// Whether there is one query per sample.
    pub fn is_decode(&self) -> bool {
        self.queries == 1 && self.keys > 1
    }

    /// Floating-point operations, of the pairs of a query and a key that it sees, and of all pairs.
    pub fn flops(&self) -> [f64; 2] {
        let inputs = self.inputs(0);
        let seen: f64 = (0..self.queries).map(|position| f64::from(inputs.seen(position))).sum();
        let all = f64::from(self.queries) * f64::from(self.keys);
        let passes = if self.pass == Pass::ForwardBackward { 1.0 + BACKWARD } else { 1.0 };
        let each = 4.0 * passes * f64::from(self.samples) * f64::from(self.heads) * f64::from(self.width);
        [each * seen, each * all]
    }

    /// Operations of the mask, and bytes of inputs and outputs, each once: q, k, v, o, lse, and for gradients d_o, d_q,
    /// d_k, d_v.
    pub fn cost(&self) -> Cost {
        let [q, k] = self.elements();
        let tensors = match self.pass {
            Pass::Forward => 2 * q + 2 * k,
            Pass::ForwardBackward => 4 * q + 4 * k,
        };
        let bytes = tensors * self.dtype.bytes() + 4 * self.query_rows();
        Cost { flops: self.flops()[0], bytes: bytes as f64 }
    }

    /// Largest allowed errors of outputs and of gradients, relative to the largest magnitude. Rounding errors of outputs,
    /// sequential sums over keys, grow as the root of their number. Scores grow as the root of the width, as do the relative
    /// errors of the products that they are. Those of gradients add up: a key that many queries select has a gradient of
    /// many terms that vanish but for rounding. Results of f16 are rounded to 11 bits, and kernels for them may round
    /// probabilities as well.
    pub fn tolerances(&self) -> [f64; 2] {
        let root = f64::from(self.keys).sqrt();
        let width = (f64::from(self.width) / 64.0).max(1.0);
        let terms = f64::from(self.keys).max(f64::from(self.queries) * f64::from(self.heads / self.key_heads));
        match self.dtype {
            DType::F16 => [2e-3, 4e-3].map(|least| least * (1.0 + root / 64.0)),
            _ => [5e-6 * (1.0 + root / 16.0) * width, 1e-5 * (1.0 + terms / 64.0)],
        }
    }
}

impl fmt::Display for AttentionProblem {
    /// The sizes, as [`AttentionProblem::parse`] reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |first: u32, between: char, second: u32| match first == second {
            true => first.to_string(),
            false => format!("{first}{between}{second}"),
        };
        let (heads, positions) = (pair(self.heads, '/', self.key_heads), pair(self.queries, ':', self.keys));
        write!(f, "{}x{heads}x{positions}x{}", self.samples, self.width)
    }
}

/// Set of shapes that people compare on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Many short sequences, as in wave functions: 16 to 144 positions, causal.
    Short,
    /// BERT (full) and GPT-2, and head widths from 64 to 256.
    Standard,
    /// 2,048 and 4,096 positions, with 32 heads of queries on 8 of keys.
    Long,
    /// One query and a cache of 1,024 to 16,384 keys, forward only.
    Decode,
}
words!(Suite, "a suite", Short "short", Standard "standard", Long "long", Decode "decode");

impl Suite {
    /// All suites.
    pub const ALL: [Self; 4] = [Self::Short, Self::Standard, Self::Long, Self::Decode];

    /// Shapes with their masks.
    fn shapes(self) -> &'static [(&'static str, Mask)] {
        match self {
            Self::Short => &[
                ("2048x4x16x16", Mask::Causal),
                ("1024x8x16x16", Mask::Causal),
                ("512x8x36x16", Mask::Causal),
                ("256x8x64x16", Mask::Causal),
                ("64x8x144x32", Mask::Causal),
            ],
            Self::Standard => &[
                ("8x12x128x64", Mask::Full),
                ("1x4x512x64", Mask::Causal),
                ("4x12x1024x64", Mask::Causal),
                ("1x8x512x80", Mask::Causal),
                ("1x8x512x96", Mask::Causal),
                ("1x8x512x128", Mask::Causal),
                ("1x4x512x256", Mask::Causal),
            ],
            Self::Long => &[("1x32/8x2048x128", Mask::Causal), ("1x8x4096x64", Mask::Causal)],
            Self::Decode => &[
                ("1x32/8x1:1024x128", Mask::Causal),
                ("1x32/8x1:4096x128", Mask::Causal),
                ("1x32/8x1:16384x128", Mask::Causal),
                ("8x12x1:1024x64", Mask::Causal),
                ("8x12x1:4096x64", Mask::Causal),
            ],
        }
    }

    /// Problems of the suite: both passes in f32, of decoding the forward pass.
    pub fn problems(self) -> Vec<AttentionProblem> {
        let parsed = self.shapes().iter().filter_map(|(shape, mask)| {
            AttentionProblem::parse(shape).ok().map(|problem| AttentionProblem { mask: *mask, ..problem })
        });
        let passes: &[Pass] =
            if self == Self::Decode { &[Pass::Forward] } else { &[Pass::Forward, Pass::ForwardBackward] };
        parsed.flat_map(|problem| passes.iter().map(move |pass| AttentionProblem { pass: *pass, ..problem })).collect()
    }

    /// The suite that has a problem of these sizes.
    pub fn of(problem: &AttentionProblem) -> Option<Self> {
        let shape = problem.to_string();
        Self::ALL.into_iter().find(|suite| suite.shapes().iter().any(|(own, _)| *own == shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_printed() {
        for text in ["4x12x1024x64", "1x32/8x2048x128", "1x32/8x1:4096x128", "1x1x1x1"] {
            assert_eq!(AttentionProblem::parse(text).unwrap().to_string(), text);
        }
        for (text, words) in [
            ("4x12x1024", "1x32/8x2048x128"),
            ("0x1x2x3", "not a shape"),
            ("1x5/2x8x8", "5 heads"),
            ("1x2x9:8x8", "more queries"),
            ("100000x100x1000x64", "2³¹"),
            ("axbxcxd", "BxHxSxD"),
        ] {
            let error = AttentionProblem::parse(text).unwrap_err();
            assert!(error.to_string().contains(words) && error.kind() == ErrorKind::Settings, "{error}");
        }
    }

    #[test]
    fn all_problems_of_suites_are_valid_and_found_again() {
        for suite in Suite::ALL {
            assert_eq!(suite.to_string().parse::<Suite>().unwrap(), suite);
            let problems = suite.problems();
            assert_eq!(problems.len() % suite.shapes().len(), 0);
            assert!(problems.len() >= suite.shapes().len());
            for problem in problems {
                problem.check().unwrap();
                assert_eq!(Suite::of(&problem), Some(suite));
            }
        }
        assert!("shorter".parse::<Suite>().unwrap_err().to_string().contains("standard"));
    }

    #[test]
    fn operations_belong_to_the_mathematics() {
        let causal = AttentionProblem::parse("2x3x4x5").unwrap();
        // Ten of sixteen pairs.
        assert_eq!(causal.flops(), [4.0 * 2.0 * 3.0 * 5.0 * 10.0, 4.0 * 2.0 * 3.0 * 5.0 * 16.0]);
        let both = AttentionProblem { pass: Pass::ForwardBackward, ..causal };
        assert_eq!(both.flops()[0], 3.5 * causal.flops()[0]);
        let full = AttentionProblem { mask: Mask::Full, ..causal };
        assert_eq!(full.flops()[0], full.flops()[1]);
        let decode = AttentionProblem::parse("1x2x1:7x3").unwrap();
        assert_eq!(decode.flops()[0], 4.0 * 2.0 * 7.0 * 3.0);
        assert!(decode.is_decode() && !causal.is_decode());
        assert_eq!(causal.cost().bytes, 4.0 * (4.0 * 120.0 + 24.0));
    }
}
