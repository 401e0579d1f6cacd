//! Attention problems, their text format, and the suites of shapes that are compared.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// Keys that a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mask {
    /// Those up to its own position; the last query is at the last key
    Causal,
    /// All
    Full,
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pass {
    /// Output
    Forward,
    /// Output, and the gradients of queries, keys and values for a gradient of ones
    ForwardBackward,
}

/// Attention of queries (B, H, S, D) over keys and values (B, HK, SK, D). Head h of the queries reads head ⌊h · HK / H⌋ of
/// the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// Samples B.
    pub b: usize,
    /// Heads H of queries.
    pub h: usize,
    /// Heads HK of keys and values.
    pub hk: usize,
    /// Queries S of a sample.
    pub s: usize,
    /// Keys SK of a sample.
    pub sk: usize,
    /// Width D of a head.
    pub d: usize,
    pub mask: Mask,
}

/// Suite of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// 16 to 144 positions of many samples, as in wave functions
    Short,
    /// BERT, GPT-2, and heads of width 64 to 256
    Standard,
    /// 2,048 and 4,096 positions, heads of queries that share keys
    Long,
    /// One query over 1,024 to 16,384 keys; has no backward pass
    Decode,
}

impl Mask {
    /// Name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Causal => "causal",
            Self::Full => "full",
        }
    }
}

impl Problem {
    /// As many queries as keys, and as many heads of them.
    const fn square([b, h, s, d]: [usize; 4], mask: Mask) -> Self {
        Self { b, h, hk: h, s, sk: s, d, mask }
    }

    /// One query over all keys.
    const fn decode([b, h, hk, sk, d]: [usize; 5]) -> Self {
        Self { b, h, hk, s: 1, sk, d, mask: Mask::Full }
    }

    /// Heads of queries per head of keys.
    pub fn group(&self) -> usize {
        self.h / self.hk
    }

    /// Position of the first query among the keys.
    pub fn past(&self) -> usize {
        self.sk - self.s
    }

    /// Whether query `i` sees key `j`.
    pub fn sees(&self, i: usize, j: usize) -> bool {
        self.mask == Mask::Full || j <= self.past() + i
    }

    /// Pairs of a query and a key that it sees, over all samples and heads.
    pub fn pairs(&self) -> f64 {
        let (s, past) = (self.s as f64, self.past() as f64);
        let of_head = if self.mask == Mask::Full { s * self.sk as f64 } else { s * (past + (s + 1.0) / 2.0) };
        (self.b * self.h) as f64 * of_head
    }

    /// Floating-point operations of the result, a multiply-add counting as two: two products over the pairs in the forward
    /// pass, five in the backward pass (Dao, arXiv:2307.08691, section 3.2).
    pub fn flops(&self, pass: Pass) -> f64 {
        let products = if pass == Pass::Forward { 2.0 } else { 7.0 };
        2.0 * products * self.pairs() * self.d as f64
    }

    /// Elements of the queries.
    pub fn query_elements(&self) -> usize {
        self.b * self.h * self.s * self.d
    }

    /// Elements of the keys.
    pub fn key_elements(&self) -> usize {
        self.b * self.hk * self.sk * self.d
    }
}

impl Suite {
    /// Its problems.
    pub fn problems(self) -> Vec<Problem> {
        let square = |mask| move |sizes| Problem::square(sizes, mask);
        match self {
            Self::Short => [[2048, 4, 16, 16], [1024, 8, 16, 16], [512, 8, 36, 16], [256, 8, 64, 16], [64, 8, 144, 32]]
                .map(square(Mask::Causal))
                .into(),
            Self::Standard => std::iter::once(Problem::square([8, 12, 128, 64], Mask::Full))
                .chain(
                    [
                        [1, 4, 512, 64],
                        [4, 12, 1024, 64],
                        [1, 8, 512, 80],
                        [1, 8, 512, 96],
                        [1, 8, 512, 128],
                        [1, 4, 512, 256],
                    ]
                    .map(square(Mask::Causal)),
                )
                .collect(),
            Self::Long => {
                let grouped = Problem { b: 1, h: 32, hk: 8, s: 2048, sk: 2048, d: 128, mask: Mask::Causal };
                vec![grouped, Problem::square([1, 8, 4096, 64], Mask::Causal)]
            }
            Self::Decode => [
                [1, 32, 8, 1024, 128],
                [1, 32, 8, 4096, 128],
                [1, 32, 8, 16384, 128],
                [8, 12, 12, 1024, 64],
                [8, 12, 12, 4096, 64],
            ]
            .map(Problem::decode)
            .into(),
        }
    }
}

impl FromStr for Problem {
    type Err = String;

    /// Parses BxHxSxD, BxH/HKxSxD and BxH/HKxS:SKxD, with a causal mask.
    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "`{text}` is not a shape of attention; give BxHxSxD such as 256x8x16x16, with H/HK heads of queries and \
                 keys, H a multiple of HK, or S:SK queries and keys, S at most SK, such as 1x32/8x1:4096x128"
            )
        };
        let size = |word: &str| word.parse().ok().filter(|size| (1..=1usize << 20).contains(size));
        let pair = |word: &str, between: char| match word.split_once(between) {
            Some((first, second)) => size(first).zip(size(second)),
            None => size(word).map(|size| (size, size)),
        };
        let [b, heads, positions, d] = text.split('x').collect::<Vec<_>>().try_into().map_err(|_| error())?;
        let sizes = (size(b), pair(heads, '/'), pair(positions, ':'), size(d));
        let (Some(b), Some((h, hk)), Some((s, sk)), Some(d)) = sizes else { return Err(error()) };
        if h % hk != 0 || s > sk {
            return Err(error());
        }
        Ok(Self { b, h, hk, s, sk, d, mask: Mask::Causal })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |first: usize, between: char, second: usize| {
            if first == second { first.to_string() } else { format!("{first}{between}{second}") }
        };
        write!(f, "{}x{}x{}x{}", self.b, pair(self.h, '/', self.hk), pair(self.s, ':', self.sk), self.d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_they_are_printed() {
        for suite in Suite::value_variants() {
            for problem in suite.problems() {
                let read: Problem = problem.to_string().parse().unwrap();
                assert_eq!(Problem { mask: problem.mask, ..read }, problem);
            }
        }
        for text in ["", "1x2x3", "1x2x3x4x5", "0x1x1x1", "1x6/4x8x16", "1x4x9:8x16", "axbxcxd", "1x1x1x-1"] {
            let error = text.parse::<Problem>().unwrap_err();
            assert!(error.contains("256x8x16x16"), "{text}: {error}");
        }
    }

    #[test]
    fn pairs_are_those_that_the_mask_leaves() {
        for text in ["2x3x5x4", "1x4/2x3:7x8", "1x2x1:9x4"] {
            for mask in [Mask::Causal, Mask::Full] {
                let problem = Problem { mask, ..text.parse().unwrap() };
                let of_head = (0..problem.s).map(|i| (0..problem.sk).filter(|j| problem.sees(i, *j)).count());
                let pairs = problem.b * problem.h * of_head.sum::<usize>();
                assert_eq!(problem.pairs(), pairs as f64, "{text} {mask:?}");
                assert_eq!(problem.flops(Pass::ForwardBackward), 3.5 * problem.flops(Pass::Forward));
            }
        }
    }
}
