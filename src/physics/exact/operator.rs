//! Matrix-free products `H·x` on all `2^N` states.

use crate::error::{Error, ErrorKind, Result};
use crate::physics::chunks::{CHUNK, for_each_chunk};
use crate::physics::{MoveCondition, Terms};

/// Maximum number of sites of an operator. The diagonal alone takes 8 bytes for each of `2^N` states.
const MAX_OPERATOR_SITES: usize = 26;

/// A symmetric matrix that is defined by its products with vectors.
pub(super) trait SymmetricMatrix {
    /// Number of rows and columns.
    fn states(&self) -> usize;

    /// Its diagonal, or an approximation.
    fn diagonal(&self) -> &[f64];

    /// Sets the components outside of its subspace to 0, in which the products of vectors with it stay.
    fn restrict(&self, x: &mut [f64]);

    /// An upper bound of the sum of the magnitudes of the off-diagonal elements of a row.
    fn largest_off_diagonal_sum(&self) -> f64;

    /// Computes the product with `x` into `y`.
    fn apply(&self, x: &[f64], y: &mut [f64]);
}

impl SymmetricMatrix for Operator {
    fn states(&self) -> usize {
        self.states()
    }

    fn diagonal(&self) -> &[f64] {
        self.diagonal()
    }

    fn restrict(&self, x: &mut [f64]) {
        self.restrict(x);
    }

    fn largest_off_diagonal_sum(&self) -> f64 {
        self.largest_off_diagonal_sum()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.apply(x, y);
    }
}

/// A Hamiltonian prepared for products with state vectors: its diagonal, `2^N` numbers, and its off-diagonal terms as
/// bit masks.
#[derive(Clone, Debug)]
pub struct Operator {
    diagonal: Vec<f64>,
    flips: Vec<Flips>,
    /// Bit masks of the pairs of sites that are not occupied together.
    exclusions: Vec<usize>,
}

/// All off-diagonal terms that flip the same sites under the same condition.
#[derive(Clone, Copy, Debug)]
struct Flips {
    mask: usize,
    amplitude: f64,
    condition: MoveCondition,
}

impl Operator {
    /// Checks `terms` and tabulates them.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] from [`Terms::check`], or [`ErrorKind::Memory`] for more than 26 sites.
    pub fn new(terms: &Terms) -> Result<Self> {
        terms.check()?;
        if terms.sites() > MAX_OPERATOR_SITES {
            return Err(Error::new(
                ErrorKind::Memory,
                format!(
                    "operator: expected at most {MAX_OPERATOR_SITES} sites for vectors of 2^N numbers, got {}; give a \
                     smaller lattice",
                    terms.sites()
                ),
            ));
        }
        let mut flips: Vec<Flips> = Vec::new();
        for step in &terms.moves {
            let mask = 1 << step.first | step.second.map_or(0, |second| 1 << second);
            match flips.iter_mut().find(|flip| flip.mask == mask && flip.condition == step.condition) {
                Some(flip) => flip.amplitude += step.amplitude,
                None => flips.push(Flips { mask, amplitude: step.amplitude, condition: step.condition }),
            }
        }
        let exclusions = terms.exclusions.iter().map(|[a, b]| 1 << a | 1 << b).collect();
        Ok(Self { diagonal: tabulate_diagonal(terms), flips, exclusions })
    }

    /// `2^N`, the length of a state vector.
    pub fn states(&self) -> usize {
        self.diagonal.len()
    }

    /// The diagonal of `H`, one energy for each of the `2^N` states.
    pub fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// Whether the subspace of H contains `state`.
    pub fn admits(&self, state: usize) -> bool {
        self.exclusions.iter().all(|pair| state & pair != *pair)
    }

    /// Sets the amplitudes outside of the subspace of H to 0.
    pub fn restrict(&self, x: &mut [f64]) {
        if !self.exclusions.is_empty() {
            x.iter_mut().enumerate().filter(|(state, _)| !self.admits(*state)).for_each(|(_, x)| *x = 0.0);
        }
    }

    /// Subtracts the smallest diagonal energy of the subspace of H from the diagonal and returns it. Low energies then
    /// keep their digits next to a large common part.
    pub(super) fn shift_to_zero(&mut self) -> f64 {
        let admitted = self.diagonal.iter().enumerate().filter(|(state, _)| self.admits(*state));
        let least = admitted.fold(f64::INFINITY, |least, (_, energy)| least.min(*energy));
        self.diagonal.iter_mut().for_each(|energy| *energy -= least);
        least
    }

    /// `Σ|amplitude|` of the off-diagonal terms, an upper bound of their sum in a row of `H`.
    pub(super) fn largest_off_diagonal_sum(&self) -> f64 {
        self.flips.iter().map(|flip| flip.amplitude.abs()).sum()
    }

    /// `y = H·x`, for `x` in the subspace of H.
    ///
    /// # Panics
    /// If `x` or `y` is not `2^N` long.
    pub fn apply(&self, x: &[f64], y: &mut [f64]) {
        assert_eq!(x.len(), self.states(), "operator: x has 2^N amplitudes");
        assert_eq!(y.len(), self.states(), "operator: y has 2^N amplitudes");
        for_each_chunk(y, CHUNK, |index, part| {
            let base = index * CHUNK;
            let here = base..base + part.len();
            for ((y, x), energy) in part.iter_mut().zip(&x[here.clone()]).zip(&self.diagonal[here]) {
                *y = energy * x;
            }
            self.flips.iter().for_each(|flip| flip.add_to(part, base, x));
        });
        self.restrict(y);
    }
}

impl Flips {
    /// Adds the contribution of these terms to `(H·x)[base..]` to `part`, whose length is a power of two that divides
    /// `base`.
    ///
    /// States that differ only in the bits below the lowest bit of the mask form a run. The flip maps the whole run to
    /// another run in the same order, and the condition is constant along it.
    fn add_to(&self, part: &mut [f64], base: usize, x: &[f64]) {
        let run = (1 << self.mask.trailing_zeros()).min(part.len());
        for (index, target) in part.chunks_exact_mut(run).enumerate() {
            let state = base + index * run;
            if self.condition == MoveCondition::Antiparallel && (state & self.mask).count_ones() != 1 {
                continue;
            }
            let from = state ^ self.mask;
            if let [y] = target {
                *y += self.amplitude * x[from];
            } else {
                target.iter_mut().zip(&x[from..from + run]).for_each(|(y, x)| *y += self.amplitude * x);
            }
        }
    }
}

/// Computes the energies of all states in `O(2^N)` by doubling: for a site `h` above all sites of `s`, `d(s + 2^h) =
/// d(s) + field_h + w_h(s)`, where `w_h(s) = Σ_(i in s) pair_ih` is computed in the same way.
fn tabulate_diagonal(terms: &Terms) -> Vec<f64> {
    let sites = terms.sites();
    let mut coupling = vec![0.0; sites * sites];
    for pair in &terms.pairs {
        let [a, b] = pair.sites;
        coupling[a.max(b) * sites + a.min(b)] += pair.coefficient;
    }
    let mut energies = Vec::with_capacity(1 << sites);
    energies.push(terms.constant);
    let mut weights = Vec::with_capacity(1 << (sites - 1));
    for high in 0..sites {
        weights.clear();
        weights.push(terms.field[high]);
        for low in 0..high {
            let pair = coupling[high * sites + low];
            weights.extend_from_within(..);
            let half = weights.len() / 2;
            weights[half..].iter_mut().for_each(|weight| *weight += pair);
        }
        for state in 0..1 << high {
            energies.push(energies[state] + weights[state]);
        }
    }
    energies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Move, Pair};

    /// Terms with every kind of off-diagonal term, irregular couplings and duplicates.
    fn tangled(sites: usize) -> Terms {
        let value = |i: usize| ((i * 37 + 11) % 23) as f64 / 8.0 - 1.3;
        let mut terms = Terms { constant: 0.7, field: (0..sites).map(value).collect(), ..Terms::default() };
        for a in 0..sites {
            terms.moves.push(Move::flip(a, value(a + 3)));
            let b = (a + 3) % sites;
            terms.pairs.push(Pair { sites: [a, b], coefficient: value(a + 5) });
            terms.moves.push(Move::exchange(a, b, value(a + 7)));
            terms.moves.push(Move { condition: MoveCondition::Always, ..Move::exchange(b, a, value(a + 9)) });
        }
        terms.moves.push(Move::flip(0, 0.25));
        terms.pairs.push(Pair { sites: [1, 0], coefficient: 0.5 });
        terms.pairs.push(Pair { sites: [0, 1], coefficient: 0.125 });
        terms
    }

    /// One row of the product by the definition of [`Terms`], with configurations instead of masks.
    fn by_definition(terms: &Terms, state: usize, x: &[f64]) -> f64 {
        let config: Vec<u8> = (0..terms.sites()).map(|i| (state >> i & 1) as u8).collect();
        let mut sum = terms.diagonal(&config) * x[state];
        for step in terms.moves.iter().filter(|step| step.acts_on(&config)) {
            let mut flipped = config.clone();
            step.flip_in(&mut flipped);
            let other = flipped.iter().rev().fold(0, |state, &n| state << 1 | usize::from(n));
            sum += step.amplitude * x[other];
        }
        sum
    }

    #[test]
    fn products_agree_with_the_definition() {
        // 16 sites: several chunks, and masks whose lowest bit lies above a chunk.
        for (sites, stride) in [(1, 1), (2, 1), (5, 1), (16, 97)] {
            let mut terms = tangled(sites.max(4));
            if sites < 4 {
                terms = Terms { field: terms.field[..sites].to_vec(), ..Terms::default() };
                terms.moves.push(Move::flip(sites - 1, 0.3));
            }
            let operator = Operator::new(&terms).unwrap();
            let x: Vec<f64> = (0..operator.states()).map(|s| ((s * 29 + 5) % 31) as f64 / 16.0 - 1.0).collect();
            let mut y = vec![f64::NAN; x.len()];
            operator.apply(&x, &mut y);
            for state in (0..x.len()).step_by(stride) {
                let expected = by_definition(&terms, state, &x);
                assert!((y[state] - expected).abs() < 1e-12 * terms.bound(), "{sites} sites, state {state}");
            }
        }
    }

    #[test]
    fn the_operator_is_symmetric() {
        let operator = Operator::new(&tangled(6)).unwrap();
        let column = |state: usize| {
            let (mut x, mut y) = (vec![0.0; 64], vec![0.0; 64]);
            x[state] = 1.0;
            operator.apply(&x, &mut y);
            y
        };
        let columns: Vec<Vec<f64>> = (0..64).map(column).collect();
        for (a, column) in columns.iter().enumerate() {
            assert_eq!(column[a], operator.diagonal()[a]);
            for (b, &element) in column.iter().enumerate() {
                assert_eq!(element, columns[b][a]);
            }
        }
    }

    #[test]
    fn too_many_sites_are_refused() {
        let error = Operator::new(&Terms { field: vec![1.0; 27], ..Terms::default() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert!(Operator::new(&Terms::default()).is_err());
    }
}
