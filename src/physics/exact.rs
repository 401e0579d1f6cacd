//! Exact ground states of small systems.

use super::{Operator, Terms, lanczos};
use crate::error::{Error, ErrorKind, Result};

/// Maximum number of sites of [`ground_state`]: 2^20 states, about 400 MB.
pub const MAX_EXACT_SITES: usize = 20;

/// Target residual in units of [`Terms::bound`]: a few hundred rounding errors of the largest energies in `H`.
const RESIDUAL: f64 = 2e-13;

/// Maximum number of products of `H` and a vector; most searches take 50 to 250.
const MOST_PRODUCTS: usize = 10_000;

/// A ground state with its numerical error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroundState {
    /// The total ground-state energy, not per site.
    pub energy: f64,
    /// `2^N` amplitudes of norm 1; bit `i` of the index is the occupation of site `i`. The sign of `±ψ` is chosen such
    /// that the sum is positive; if the sum vanishes by symmetry, such that the first of the largest amplitudes is
    /// positive.
    pub state: Vec<f64>,
    /// `‖Hψ − Eψ‖₂`: an eigenvalue lies within this distance of `energy`, and the error of the lowest one is of second
    /// order in it.
    pub residual: f64,
    /// Number of products of `H` and a vector.
    pub products: usize,
}

/// Computes the ground state of `terms` on `sites` sites over all `2^N` states by thick-restart Lanczos.
///
/// The same terms give the same bits: the start vector and the order of sums are fixed. For stoquastic terms the start
/// vector is uniform, which has a nonzero overlap with their non-negative ground state and keeps every symmetry of the
/// lattice. Otherwise it is pseudorandom, so that no symmetry makes it orthogonal to the ground state. In a degenerate
/// ground space the result is the projection of the start vector.
///
/// # Errors
/// [`ErrorKind::Settings`] for more than [`MAX_EXACT_SITES`] sites, a number of sites other than that of `terms`, terms
/// that fail [`Terms::check`], or levels too close together to converge.
pub fn ground_state(terms: &Terms, sites: usize) -> Result<GroundState> {
    if sites > MAX_EXACT_SITES {
        return Err(Error::new(
            ErrorKind::Settings,
            format!(
                "exact: expected at most {MAX_EXACT_SITES} sites, since all 2^N states are kept, got {sites}; give a \
                 smaller lattice, or train on this one"
            ),
        ));
    }
    if terms.sites() != sites {
        return Err(Error::new(
            ErrorKind::Settings,
            format!("exact: expected terms for {sites} sites, got {}; build both from one lattice", terms.sites()),
        ));
    }
    let operator = Operator::new(terms)?;
    let start = match terms.is_stoquastic() {
        true => vec![1.0; operator.states()],
        false => (0..operator.states() as u64).map(scatter).collect(),
    };
    let found = lanczos::lowest(&operator, start, RESIDUAL * terms.bound(), MOST_PRODUCTS)?;
    let mut state = found.vector;
    if is_negative(&state) {
        state.iter_mut().for_each(|amplitude| *amplitude = -*amplitude);
    }
    Ok(GroundState { energy: found.value, state, residual: found.residual, products: found.products })
}

/// Whether the sign of `state` must be inverted. Sums and magnitudes that differ by rounding count as equal.
fn is_negative(state: &[f64]) -> bool {
    let sum: f64 = state.iter().sum();
    let size: f64 = state.iter().map(|amplitude| amplitude.abs()).sum();
    if sum.abs() > 1e-6 * size {
        return sum < 0.0;
    }
    let largest = state.iter().fold(0.0_f64, |largest, amplitude| largest.max(amplitude.abs()));
    state.iter().find(|amplitude| amplitude.abs() > (1.0 - 1e-6) * largest).is_some_and(|&amplitude| amplitude < 0.0)
}

/// A pseudorandom number in [−1, 1) for each index: the finalizer of SplitMix64.
fn scatter(index: u64) -> f64 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) as i64 as f64 / 2.0_f64.powi(63)
}

#[cfg(test)]
mod tests {
    use faer::{Mat, Side};

    use super::*;
    use crate::physics::{Hamiltonian, Lattice, Move, Pair, Rydberg};

    /// Eigenvalues by a dense solver, from the columns of the operator.
    fn dense_levels(terms: &Terms) -> Vec<f64> {
        let operator = Operator::new(terms).unwrap();
        let states = operator.states();
        let mut matrix = Mat::<f64>::zeros(states, states);
        for column in 0..states {
            let (mut x, mut y) = (vec![0.0; states], vec![0.0; states]);
            x[column] = 1.0;
            operator.apply(&x, &mut y);
            (0..states).for_each(|row| matrix[(row, column)] = y[row]);
        }
        matrix.self_adjoint_eigenvalues(Side::Lower).unwrap()
    }

    fn check(terms: &Terms) -> GroundState {
        let ground = ground_state(terms, terms.sites()).unwrap();
        let levels = dense_levels(terms);
        let error = (ground.energy - levels[0]).abs();
        assert!(error < 1e-12 * terms.bound().max(1.0), "{} is not {}", ground.energy, levels[0]);
        assert!(ground.residual <= 1e-12 * terms.bound(), "residual {}", ground.residual);
        let norm: f64 = ground.state.iter().map(|amplitude| amplitude * amplitude).sum();
        assert!((norm - 1.0).abs() < 1e-13);
        ground
    }

    #[test]
    fn small_systems_agree_with_a_dense_solver() {
        for sites in 1..=8 {
            let value = |i: usize| ((i * 41 + sites * 7) % 19) as f64 / 9.0 - 1.0;
            let mut terms = Terms { constant: 3.0, field: (0..sites).map(value).collect(), ..Terms::default() };
            for a in 0..sites {
                terms.moves.push(Move::flip(a, value(a + 1)));
                for b in a + 1..sites {
                    terms.pairs.push(Pair { sites: [a, b], coefficient: value(a * b + 2) });
                    terms.moves.push(Move::exchange(a, b, value(a + b + 3)));
                }
            }
            check(&terms);
        }
    }

    #[test]
    fn stoquastic_ground_states_are_positive() {
        let terms = Rydberg::default().terms(&Lattice::square(3, 2)).unwrap();
        assert!(check(&terms).state.iter().all(|&amplitude| amplitude > 0.0));
    }

    #[test]
    fn diagonal_and_degenerate_hamiltonians() {
        // Without off-diagonal terms the ground states are configurations, here 01 and 10 at energy −2.
        let pair = Pair { sites: [0, 1], coefficient: 5.0 };
        let terms = Terms { field: vec![-2.0, -2.0], pairs: vec![pair], ..Terms::default() };
        let ground = check(&terms);
        assert!((ground.energy + 2.0).abs() < 1e-13);
        assert!((ground.state[1] - 0.5_f64.sqrt()).abs() < 1e-12 && (ground.state[2] - ground.state[1]).abs() < 1e-12);
        // H = 0, and a system of one site.
        assert_eq!(ground_state(&Terms { field: vec![0.0; 3], ..Terms::default() }, 3).unwrap().energy, 0.0);
        check(&Rydberg { omega: 0.0, ..Rydberg::default() }.terms(&Lattice::square(3, 2)).unwrap());
        check(&Rydberg { omega: 1e-5, ..Rydberg::default() }.terms(&Lattice::square(4, 2)).unwrap());
        check(&Rydberg { v: 1e5, delta: 3.0, omega: 1e-3 }.terms(&Lattice::square(4, 2)).unwrap());
        check(&Rydberg { omega: -1.0, ..Rydberg::default() }.terms(&Lattice::square(3, 2)).unwrap());
    }

    #[test]
    fn an_exchange_conserves_the_number_and_finds_the_singlet() {
        // S·S on two sites: the singlet (|01⟩ − |10⟩)/√2 at −3/4. Its sum vanishes, so the first largest amplitude is
        // positive.
        let terms = Terms {
            constant: 0.25,
            field: vec![-0.5; 2],
            pairs: vec![Pair { sites: [0, 1], coefficient: 1.0 }],
            moves: vec![Move::exchange(0, 1, 0.5)],
        };
        let ground = check(&terms);
        assert!((ground.energy + 0.75).abs() < 1e-14);
        let half = 0.5_f64.sqrt();
        for (amplitude, expected) in ground.state.iter().zip([0.0, half, -half, 0.0]) {
            assert!((amplitude - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_same_terms_give_the_same_bits() {
        let terms = Rydberg::default().terms(&Lattice::square(4, 3)).unwrap();
        let (a, b) = (ground_state(&terms, 12).unwrap(), ground_state(&terms, 12).unwrap());
        assert!(a.energy.to_bits() == b.energy.to_bits() && a.state == b.state);
    }

    #[test]
    fn what_cannot_be_solved_is_refused() {
        let terms = Rydberg::default().terms(&Lattice::square(5, 5)).unwrap();
        let error = ground_state(&terms, 25).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.to_string().contains("at most 20 sites") && error.to_string().contains("got 25"), "{error}");
        assert!(ground_state(&terms, 16).unwrap_err().to_string().contains("got 25"));
        assert!(ground_state(&Terms::default(), 0).is_err());
        let mut terms = Rydberg::default().terms(&Lattice::chain(3)).unwrap();
        terms.field[1] = f64::NAN;
        assert!(ground_state(&terms, 3).unwrap_err().to_string().contains("site 1"));
    }
}
