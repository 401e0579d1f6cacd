//! Exact ground states of small systems.

mod davidson;
mod level;
mod operator;
mod pieces;
mod subspace;

pub use level::GroundState;
pub use operator::Operator;
pub use subspace::{MAX_SUBSPACE_SITES, Subspace};

use davidson::{Davidson, RitzPair, damped, pseudorandom};
use level::{Level, of_diagonal};
use pieces::finish;

use super::Terms;
use crate::error::{Error, ErrorKind, Result};

/// Maximum number of sites of [`ground_state`]: 2^20 states, about 400 MB and 8 MB for each further state of the level.
pub const MAX_EXACT_SITES: usize = 20;

/// Target residual in units of the energies in the ground state: a few thousand rounding errors.
const RESIDUAL: f64 = 1e-12;

/// Rounding error of a diagonal energy, in units of the smallest one.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// Distance of two levels that count as one, in units of the target residual.
const WIDTH: f64 = 4.0;

/// Residual of the next level in units of its distance, at which it counts as another level. A further state of the
/// ground level would have to be this much weaker than the next level in a pseudorandom vector to be missed.
const RESOLVED: f64 = 1e-3;

/// Maximum number of products of `H` and a vector for the ground state, and for each further state of its level; most
/// searches take 30 to 150.
const MOST_PRODUCTS: [usize; 2] = [10_000, 2_000];

/// Maximum number of amplitudes of the states of a level, 1 GiB.
const MOST_AMPLITUDES: usize = 1 << 27;

/// Checks that all states of `sites` sites can be kept, before terms are built.
///
/// # Errors
/// [`ErrorKind::Settings`] for more than [`MAX_EXACT_SITES`] sites.
pub fn check_exact_sites(sites: usize) -> Result<()> {
    if sites > MAX_EXACT_SITES {
        return Err(Error::new(
            ErrorKind::Settings,
            format!(
                "exact: expected at most {MAX_EXACT_SITES} sites, since all 2^N states are kept, got {sites}; give a \
                 smaller lattice, or train on this one"
            ),
        ));
    }
    Ok(())
}

/// Computes the ground-state energy of `terms` on `sites` sites, as [`ground_state`] without the search for further
/// states of the level.
///
/// # Errors
/// As [`ground_state`].
pub fn ground_energy(terms: &Terms, sites: usize) -> Result<f64> {
    finish(ground_energy_async(terms, sites))
}

/// As [`ground_energy`], with the same bits, in pieces: each poll takes about the time of one product of `H` and a vector,
/// 30 to 150 in total. A page in a browser, which has no threads, polls once in each frame.
///
/// # Errors
/// As [`ground_energy`].
pub async fn ground_energy_async(terms: &Terms, sites: usize) -> Result<f64> {
    let (operator, offset) = operator(terms, sites)?;
    if operator.largest_off_diagonal_sum() == 0.0 {
        return Ok(offset);
    }
    let (pair, _) = Search::new(terms, &operator, offset).first().await?;
    Ok(pair.value + offset)
}

/// Computes the ground state of `terms` on `sites` sites over all `2^N` states by the Davidson method, and the other
/// states of its level.
///
/// The same terms give the same bits: the start vectors and the order of sums are fixed. For stoquastic terms the start
/// vector is positive and keeps every symmetry of the lattice, which gives it a nonzero overlap with their non-negative
/// ground state. Otherwise it is pseudorandom, so that no symmetry makes it orthogonal to the ground state. The
/// searches for further states of the level, and for the next level, start from pseudorandom vectors orthogonal to the
/// states found so far. Each takes about as long as the search for the ground state or less.
///
/// # Errors
/// [`ErrorKind::Settings`] for more than [`MAX_EXACT_SITES`] sites, a number of sites other than that of `terms`, terms
/// that fail [`Terms::check`], levels too close together to reach a residual of 10⁻¹² of the energies in the ground
/// state, or more than 2^27 amplitudes of the states in its level, unless `terms` are diagonal.
pub fn ground_state(terms: &Terms, sites: usize) -> Result<GroundState> {
    let (operator, offset) = operator(terms, sites)?;
    if operator.largest_off_diagonal_sum() == 0.0 {
        return Ok(of_diagonal(&operator, offset, WIDTH * ROUNDING * offset.abs()));
    }
    let search = Search::new(terms, &operator, offset);
    let (mut first, mut products) = finish(search.first())?;
    'lowest: loop {
        let (energy, width) = (first.value, WIDTH * search.tolerance(&first));
        let mut davidson = Davidson::new(&operator, 0);
        davidson.lock(first.vector.clone());
        let mut count = 1;
        let gap = loop {
            davidson.most_products = davidson.products + MOST_PRODUCTS[1];
            let accepts = |pair: &RitzPair| {
                let above = pair.value - energy;
                pair.residual <= search.tolerance(pair) || (above > width && pair.residual <= RESOLVED * above)
            };
            let Some(next) = finish(davidson.lowest(pseudorandom(&operator, count as u64), accepts))? else {
                break (count == operator.states()).then_some(f64::INFINITY);
            };
            if next.value < energy - width {
                // The start vector had no overlap with a lower level.
                products += davidson.products;
                first = next;
                continue 'lowest;
            }
            if next.value > energy + width {
                break Some(next.value - energy);
            }
            count += 1;
            if count * operator.states() > MOST_AMPLITUDES {
                let message = format!(
                    "exact: {count} states or more have the energy {:.12} within {width:.1e}, which do not \
                     fit into 1 GiB; give couplings that split them",
                    energy + offset
                );
                return Err(Error::new(ErrorKind::Settings, message));
            }
            davidson.lock(next.vector);
        };
        products += davidson.products;
        let mut states = davidson.into_locked();
        let mut state = states.remove(0);
        if is_negative(&state) {
            state.iter_mut().for_each(|amplitude| *amplitude = -*amplitude);
        }
        let energy = energy + offset;
        return Ok(GroundState {
            energy,
            state,
            residual: first.residual,
            products,
            gap,
            width,
            level: Level::Vectors(states),
        });
    }
}

/// Operator of checked `terms` with a diagonal that begins at zero, and the energy that was subtracted from it.
fn operator(terms: &Terms, sites: usize) -> Result<(Operator, f64)> {
    check_exact_sites(sites)?;
    if terms.sites() != sites {
        return Err(Error::new(
            ErrorKind::Settings,
            format!("exact: expected terms for {sites} sites, got {}; build both from one lattice", terms.sites()),
        ));
    }
    let mut operator = Operator::new(terms)?;
    let offset = operator.shift_to_zero();
    Ok((operator, offset))
}

/// Search for the ground state of an operator.
struct Search<'a> {
    operator: &'a Operator,
    /// Energy that was subtracted from the diagonal.
    offset: f64,
    is_stoquastic: bool,
}

impl<'a> Search<'a> {
    fn new(terms: &Terms, operator: &'a Operator, offset: f64) -> Self {
        Self { operator, offset, is_stoquastic: terms.is_stoquastic() }
    }

    /// Ground state to the target residual, and the number of products of `H` and a vector.
    async fn first(&self) -> Result<(RitzPair, usize)> {
        let start = match self.is_stoquastic {
            true => damped(self.operator, |_| 1.0),
            false => pseudorandom(self.operator, 0),
        };
        let mut davidson = Davidson::new(self.operator, MOST_PRODUCTS[0]);
        let found = davidson.lowest(start, |pair| pair.residual <= self.tolerance(pair)).await?;
        found.map(|pair| (pair, davidson.products)).ok_or_else(|| {
            let message = format!(
                "exact: no residual below {RESIDUAL:.0e} of the energies in the ground state after {} products of H \
                 and a vector, since levels are too close together or couplings too different; give couplings that \
                 split the levels, or of more similar size",
                davidson.products
            );
            Error::new(ErrorKind::Settings, message)
        })
    }

    /// Target residual of a pair.
    fn tolerance(&self, pair: &RitzPair) -> f64 {
        RESIDUAL * (pair.scale + self.operator.largest_off_diagonal_sum()) + ROUNDING * self.offset.abs()
    }
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

#[cfg(test)]
mod tests {
    use faer::{Mat, Side};

    use super::*;
    use crate::physics::{Hamiltonian, Heisenberg, Lattice, Move, Pair, Rydberg, Tfim, Xxz};

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
        let (of_level, others) = levels.split_at(ground.degeneracy());
        assert!(of_level.iter().all(|level| level - levels[0] <= ground.width + 1e-13 * terms.bound()), "{levels:?}");
        let gap = others.first().map_or(f64::INFINITY, |next| next - levels[0]);
        let found = ground.gap.unwrap();
        assert!(found == gap || (found - gap).abs() <= 1e-2 * gap + 1e-12 * terms.bound(), "gap {found}, not {gap}");
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

    /// Ground levels with known degeneracies.
    #[test]
    fn degenerate_levels_are_found_whole() {
        let heisenberg = Heisenberg::default();
        let ferromagnet = Heisenberg { j1: -1.0, ..heisenberg };
        let tfim = Tfim::default();
        for (hamiltonian, lattice, degeneracy) in [
            // Spin ½; spin ½ with two momenta; spin N/2; two dimer coverings (Majumdar & Ghosh 1969).
            (&heisenberg as &dyn Hamiltonian, Lattice::chain(3), 2),
            (&heisenberg, Lattice::chain(3).periodic(), 4),
            (&heisenberg, Lattice::chain(5).periodic(), 4),
            (&ferromagnet, Lattice::square(3, 2), 7),
            (&Heisenberg { j2: 0.5, ..heisenberg }, Lattice::chain(8).periodic(), 2),
            // Two decoupled chains of three spins each.
            (&Heisenberg { j1: 0.0, j2: 1.0, marshall: false }, Lattice::chain(6), 4),
            // Both polarizations; a domain wall on a frustrated ring; all configurations.
            (&Tfim { h: 0.0, ..tfim }, Lattice::square(2, 3), 2),
            (&Tfim { h: 0.0, j: -1.0 }, Lattice::chain(5).periodic(), 10),
            (&Tfim { h: 0.0, j: 0.0 }, Lattice::chain(4), 16),
            // Numerically degenerate: the splitting is of order h^8.
            (&Tfim { h: 0.01, ..tfim }, Lattice::chain(8), 2),
            (&Tfim { h: 0.2, ..tfim }, Lattice::chain(8), 1),
            (&Xxz { delta: -1.0, ..Xxz::default() }, Lattice::chain(6), 7),
            (&Xxz { delta: 3.0, hz: 0.0, j: 1.0, ..Xxz::default() }, Lattice::chain(7), 2),
            (&Rydberg::default(), Lattice::square(3, 2), 1),
            // Nine places for one excitation without quantum fluctuations.
            (&Rydberg { omega: 0.0, v: 1e3, delta: 1.0 }, Lattice::square(3, 3).periodic(), 9),
        ] {
            let ground = check(&hamiltonian.terms(&lattice).unwrap());
            assert_eq!(ground.degeneracy(), degeneracy, "{} {lattice}", hamiltonian.name());
        }
    }

    /// The projector onto a level, and so every weight and mean, does not depend on the basis.
    #[test]
    fn weights_and_means_are_those_of_the_level() {
        let lattice = Lattice::chain(3).periodic();
        let terms = Heisenberg::default().terms(&lattice).unwrap();
        let ground = check(&terms);
        // Two spins up, with momenta ±2π/3: every vector that is orthogonal to the symmetric one.
        let third = 1.0 / 6f64.sqrt();
        let mut psi = vec![0.0; 8];
        (psi[0b011], psi[0b101], psi[0b110]) = (2.0 * third, -third, -third);
        assert!((ground.weight(&psi) - 1.0).abs() < 1e-10);
        psi.fill(0.0);
        psi[0b011] = 1.0;
        assert!((ground.weight(&psi) - 2.0 / 3.0).abs() < 1e-10);
        psi[0b011] = 0.0;
        psi[0] = 1.0;
        assert!(ground.weight(&psi) < 1e-20);
        let seen = ground.observables(&terms, &lattice).unwrap();
        assert!((seen.energy - ground.energy).abs() < 1e-12);
        assert!(seen.density_per_site.iter().all(|density| (density - 0.5).abs() < 1e-10));
        assert!(seen.sigma_x.abs() < 1e-10 && seen.magnetization.abs() < 1e-10);
        // A classical level: two polarized states, with no transverse magnetization in their mixture.
        let terms = Tfim { h: 0.0, ..Tfim::default() }.terms(&Lattice::chain(1)).unwrap();
        let ground = check(&terms);
        let seen = ground.observables(&terms, &Lattice::chain(1)).unwrap();
        assert_eq!((ground.degeneracy(), seen.sigma_x), (2, 0.0));
        assert!((ground.weight(&[0.6, 0.8]) - 1.0).abs() < 1e-14);
    }

    /// Perfect blockade on the open 3x3 lattice: one excitation at most, E = (−δ − √(δ² + 9 Ω²))/2. Lanczos without a
    /// preconditioner finds −1.8 at V = 10¹².
    #[test]
    fn couplings_of_any_size_have_accurate_ground_states() {
        let blockaded = -0.5 * (1.0 + 10f64.sqrt());
        for (v, tolerance) in [(1e6, 1e-3), (1e9, 1e-6), (1e11, 1e-8), (1e12, 1e-9)] {
            for omega in [1.0, -1.0] {
                let terms = Rydberg { v, omega, ..Rydberg::default() }.terms(&Lattice::square(3, 3)).unwrap();
                let ground = ground_state(&terms, 9).unwrap();
                assert!((ground.energy - blockaded).abs() < tolerance, "{v}: {}", ground.energy);
                assert!(ground.residual < 1e-10 && ground.degeneracy() == 1, "{v}: {}", ground.residual);
                let seen = ground.observables(&terms, &Lattice::square(3, 3)).unwrap();
                assert!(seen.sigma_x * omega > 0.0 && (seen.energy - ground.energy).abs() < 1e-9, "{seen:?}");
                assert!((ground_energy(&terms, 9).unwrap() - ground.energy).abs() < 1e-12);
            }
        }
        // One side has all of its energy in the diagonal.
        for terms in [
            Tfim { j: 1e12, h: 1.0 }.terms(&Lattice::square(3, 2)).unwrap(),
            Tfim { j: 1.0, h: -1e12 }.terms(&Lattice::square(3, 2)).unwrap(),
            Rydberg { v: -1e12, ..Rydberg::default() }.terms(&Lattice::square(3, 2)).unwrap(),
            Rydberg { delta: 1e12, ..Rydberg::default() }.terms(&Lattice::square(3, 2)).unwrap(),
            Xxz { delta: 1e12, hx: 1.0, ..Xxz::default() }.terms(&Lattice::square(3, 2)).unwrap(),
        ] {
            check(&terms);
        }
    }

    /// Energies and diagonal observables do not depend on the sign of a transverse field; σˣ changes its sign.
    #[test]
    fn signs_of_transverse_fields_change_only_sigma_x() {
        let lattice = Lattice::square(2, 3);
        let fields: [fn(f64) -> Box<dyn Hamiltonian>; 4] = [
            |h| Box::new(Tfim { h, ..Tfim::default() }),
            |omega| Box::new(Rydberg { omega, ..Rydberg::default() }),
            |hx| Box::new(Xxz { hx, hz: 0.3, delta: 0.7, j: -1.0, marshall: false }),
            |hx| Box::new(Xxz { hx, hz: 0.3, delta: 0.7, j: 1.0, marshall: true }),
        ];
        for of in fields {
            let seen = [0.8, -0.8].map(|field| {
                let terms = of(field).terms(&lattice).unwrap();
                check(&terms).observables(&terms, &lattice).unwrap()
            });
            let [plus, minus] = &seen;
            assert!((plus.energy - minus.energy).abs() < 1e-10 && plus.sigma_x > 0.1, "{plus:?}");
            assert!((plus.sigma_x + minus.sigma_x).abs() < 1e-6 && (plus.density() - minus.density()).abs() < 1e-6);
        }
        // The rotation of a sublattice does not change σˣ either.
        let model = Xxz { hx: 0.8, hz: 0.3, delta: 0.7, j: 1.0, marshall: false };
        let sigma_x = [model, Xxz { marshall: true, ..model }].map(|model| {
            let terms = model.terms(&lattice).unwrap();
            check(&terms).observables(&terms, &lattice).unwrap().sigma_x
        });
        assert!((sigma_x[0] - sigma_x[1]).abs() < 1e-6, "{sigma_x:?}");
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
            exclusions: Vec::new(),
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
    fn pieces_give_the_same_bits_and_are_many() {
        let terms = Rydberg::default().terms(&Lattice::square(4, 3)).unwrap();
        let mut polls = 0;
        let mut work = std::pin::pin!(ground_energy_async(&terms, 12));
        let energy = finish(std::future::poll_fn(|context| {
            polls += 1;
            work.as_mut().poll(context)
        }));
        assert_eq!(energy.unwrap().to_bits(), ground_energy(&terms, 12).unwrap().to_bits());
        assert!(polls > 20, "{polls} polls");
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
