//! Coefficients of a Hamiltonian in a form that does not depend on the order and the division of its terms, so that two
//! Hamiltonians can be compared up to a permutation of sites.

use std::collections::HashMap;

use super::Symmetry;
use crate::physics::{MoveCondition, Terms};

/// Relative tolerance for equal coefficients.
const ROUNDING: f64 = 1e-12;

/// [`Terms`] with repeated coefficients added up and pairs unordered.
pub(super) struct Coefficients {
    constant: f64,
    field: Vec<f64>,
    /// By sites, in ascending order.
    pub pairs: HashMap<[u32; 2], f64>,
    /// By sites, which are equal for a flip of one site, and condition.
    pub moves: HashMap<([u32; 2], MoveCondition), f64>,
    /// In ascending order.
    exclusions: Vec<[u32; 2]>,
    flips: bool,
    /// Magnitudes of the terms summed in constant and fields, for rounding tolerances.
    scale: [f64; 2],
}

impl Coefficients {
    /// The coefficients of `terms`, after the substitution of `1 − n` for every `n` if `flips`.
    pub(super) fn of(terms: &Terms, flips: bool) -> Self {
        let (mut pairs, mut moves) = (HashMap::new(), HashMap::new());
        let (mut constant, mut field) = (terms.constant, terms.field.clone());
        let mut sizes: Vec<f64> = field.iter().map(|field| field.abs()).collect();
        for pair in &terms.pairs {
            *pairs.entry(ordered(pair.sites.map(|site| site as u32))).or_insert(0.0) += pair.coefficient;
            pair.sites.iter().for_each(|&site| sizes[site] += pair.coefficient.abs());
        }
        for step in &terms.moves {
            let sites = ordered([step.first, step.second.unwrap_or(step.first)].map(|site| site as u32));
            *moves.entry((sites, step.condition)).or_insert(0.0) += step.amplitude;
        }
        if flips {
            // n n' becomes 1 − n − n' + n n'. The off-diagonal terms and their conditions are unchanged.
            constant += terms.field.iter().sum::<f64>() + terms.pairs.iter().map(|pair| pair.coefficient).sum::<f64>();
            field.iter_mut().for_each(|field| *field = -*field);
            for pair in &terms.pairs {
                pair.sites.iter().for_each(|&site| field[site] -= pair.coefficient);
            }
        }
        let largest = sizes.into_iter().fold(0.0, f64::max);
        let mut exclusions: Vec<[u32; 2]> =
            terms.exclusions.iter().map(|pair| ordered(pair.map(|site| site as u32))).collect();
        exclusions.sort_unstable();
        exclusions.dedup();
        Self { constant, field, pairs, moves, exclusions, flips, scale: [terms.bound(), largest] }
    }

    /// Whether these coefficients equal `other`'s after the site permutation of `symmetry`.
    pub(super) fn are_those_of(&self, other: &Self, symmetry: &Symmetry) -> bool {
        let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= ROUNDING * scale;
        let size = |a: f64, b: f64| a.abs().max(b.abs());
        let to = |site: u32| symmetry.from[site as usize];
        let field = |(site, &field): (usize, &f64)| near(field, other.field[to(site as u32) as usize], self.scale[1]);
        let pair = |(sites, &a): (&[u32; 2], &f64)| {
            let b = other.pairs.get(&ordered(sites.map(to))).copied().unwrap_or(0.0);
            near(a, b, size(a, b))
        };
        let step = |((sites, condition), &a): (&([u32; 2], MoveCondition), &f64)| {
            let b = other.moves.get(&(ordered(sites.map(to)), *condition)).copied().unwrap_or(0.0);
            near(a, b, size(a, b))
        };
        // Of two sites that are not occupied together, the flip makes two that are not empty together.
        let excluded =
            |sites: &[u32; 2]| !other.flips && other.exclusions.binary_search(&ordered(sites.map(to))).is_ok();
        // A permutation maps different pairs to different pairs and both sides have equally many nonzero ones, so none
        // of `other` is left unmatched.
        near(self.constant, other.constant, self.scale[0])
            && self.field.iter().enumerate().all(field)
            && self.pairs.iter().all(pair)
            && self.moves.iter().all(step)
            && self.exclusions.iter().all(excluded)
    }
}

fn ordered([a, b]: [u32; 2]) -> [u32; 2] {
    [a.min(b), a.max(b)]
}
