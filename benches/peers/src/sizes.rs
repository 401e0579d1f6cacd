//! Sizes of attention, as indices of the tensors of both engines. Problems, their text and the suites are those of
//! `ketformer bench`.

use ketformer::arena::{AttentionProblem, Mask};

/// Attention of queries (B, H, S, D) over keys and values (B, HK, SK, D). Head h of the queries reads head ⌊h · HK / H⌋ of
/// the keys.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
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
    /// Mask that the engines are given. One query at the last key sees all keys, whatever the mask of the problem.
    pub mask: Mask,
}

impl Sizes {
    pub fn of(problem: &AttentionProblem) -> Self {
        let AttentionProblem { samples, heads, key_heads, queries, keys, width, mask, .. } = *problem;
        let [b, h, hk, s, sk, d] = [samples, heads, key_heads, queries, keys, width].map(|size| size as usize);
        Self { b, h, hk, s, sk, d, mask: if s == 1 { Mask::Full } else { mask } }
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

    /// Elements of the queries.
    pub fn query_elements(&self) -> usize {
        self.b * self.h * self.s * self.d
    }

    /// Elements of the keys.
    pub fn key_elements(&self) -> usize {
        self.b * self.hk * self.sk * self.d
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketformer::arena::Pass;

    #[test]
    fn pairs_are_those_that_the_mask_leaves() {
        for text in ["2x3x5x4", "1x4/2x3:7x8", "1x2x1:9x4"] {
            for mask in [Mask::Causal, Mask::Full] {
                let problem = AttentionProblem { mask, ..AttentionProblem::parse(text).unwrap() };
                let s = Sizes::of(&problem);
                let of_head = (0..s.s).map(|i| (0..s.sk).filter(|j| s.sees(i, *j)).count());
                let pairs = s.b * s.h * of_head.sum::<usize>();
                // Two products over the pairs, a multiply-add counting as two.
                assert_eq!(problem.flops()[0], (4 * pairs * s.d) as f64, "{text} {mask:?}");
                let both = AttentionProblem { pass: Pass::ForwardBackward, ..problem };
                assert_eq!(both.flops()[0], 3.5 * problem.flops()[0]);
            }
        }
    }
}
