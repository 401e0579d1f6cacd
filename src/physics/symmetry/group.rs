//! Symmetries of a Hamiltonian on its lattice: site permutations, with or without a flip of all spins.
//!
//! Candidates are the translations of the torus, its reflections, the exchange of x and y if the sides are equal, and
//! all of these combined with the flip `n` → `1 − n`. The group consists of the candidates that leave the [`Terms`]
//! invariant: on an open lattice the point group, without the flip if a field distinguishes `n` from `1 − n`. The
//! candidates form a group, and so does the subset that leaves something invariant.

use std::collections::HashMap;

use super::Symmetry;
use super::characters::real_characters;
use super::coefficients::Coefficients;
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Lattice, Terms};

/// Maximum number of sites of a symmetry group, which has order 16 N on a periodic square.
const MAX_SYMMETRIC_SITES: usize = 1024;

/// The symmetry group of a Hamiltonian, with its real one-dimensional representations.
#[derive(Clone, Debug)]
pub struct SymmetryGroup {
    lattice: Lattice,
    elements: Vec<Symmetry>,
    characters: Vec<Vec<i8>>,
    named: Vec<(&'static str, usize)>,
}

impl SymmetryGroup {
    /// Finds the symmetries of `terms` on `lattice` among all candidates.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for terms that fail [`Terms::check`] or belong to another lattice, or for more than 1024
    /// sites.
    pub fn new(terms: &Terms, lattice: &Lattice) -> Result<Self> {
        check_sites(terms, lattice)?;
        let sites = terms.sites();
        if sites > MAX_SYMMETRIC_SITES {
            let text = format!(
                "symmetry: expected at most {MAX_SYMMETRIC_SITES} sites, since every sample is taken once for each symmetry, got \
                 {sites}; leave symmetrize out"
            );
            return Err(Error::new(ErrorKind::Settings, text));
        }
        let coefficients = [false, true].map(|flips| Coefficients::of(terms, flips));
        let mut found: HashMap<Symmetry, usize> = HashMap::new();
        let (mut elements, mut named) = (Vec::new(), Vec::new());
        for candidate in Candidate::all(lattice) {
            let symmetry = candidate.symmetry(lattice);
            // On sides of one or two sites, different candidates are the same permutation.
            let known = found.get(&symmetry).copied();
            if known.is_none() && !coefficients[0].are_those_of(&coefficients[usize::from(symmetry.flips)], &symmetry) {
                continue;
            }
            let at = known.unwrap_or(elements.len());
            if known.is_none() {
                found.insert(symmetry.clone(), at);
                elements.push(symmetry);
            }
            let is_new = at != 0 && named.iter().all(|(_, other)| *other != at);
            named.extend(candidate.name(lattice).filter(|_| is_new).map(|name| (name, at)));
        }
        let characters = real_characters(&elements);
        Ok(Self { lattice: *lattice, elements, characters, named })
    }

    /// All elements, the identity first.
    pub fn elements(&self) -> &[Symmetry] {
        &self.elements
    }

    /// Number of elements.
    pub fn order(&self) -> usize {
        self.elements.len()
    }

    /// The real one-dimensional representations χ, each a sign per element; the trivial one first. The ground state of
    /// a real Hamiltonian belongs to one of them unless it is degenerate.
    pub fn characters(&self) -> &[Vec<i8>] {
        &self.characters
    }

    /// Names of the named symmetries that change the sign of a state of representation `character`.
    ///
    /// # Panics
    /// If there is no such representation.
    pub fn odd(&self, character: usize) -> Vec<&'static str> {
        let signs = &self.characters[character];
        self.named.iter().filter(|(_, at)| signs[*at] < 0).map(|(name, _)| *name).collect()
    }

    /// Checks that the group belongs to `lattice` and that every element leaves `terms` invariant.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] otherwise.
    pub fn check(&self, terms: &Terms, lattice: &Lattice) -> Result<()> {
        let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("symmetry: {text}")));
        if self.lattice != *lattice {
            let text = |lattice: &Lattice| format!("{lattice} with periodic={:?}", lattice.periodic);
            let [own, other] = [&self.lattice, lattice].map(text);
            return fault(format!("the group is that of the lattice {own}, not of {other}; build it for this lattice"));
        }
        let coefficients = [false, true].map(|flips| Coefficients::of(terms, flips));
        let keeps = |g: &Symmetry| coefficients[0].are_those_of(&coefficients[usize::from(g.flips)], g);
        match self.elements.iter().all(keeps) {
            true => Ok(()),
            false => fault(format!(
                "the group does not leave the Hamiltonian on {lattice} invariant; build it from these terms and this \
                 lattice"
            )),
        }
    }

    /// Projects `state`, `2^N` numbers, onto a representation: `(1/|G|) Σ_g χ(g) ψ(gσ)`.
    ///
    /// # Panics
    /// If there is no such representation, or `state` does not have `2^N` numbers.
    pub fn project(&self, character: usize, state: &[f64]) -> Vec<f64> {
        assert_eq!(state.len(), 1 << self.elements[0].from.len(), "symmetry: a state has 2^N amplitudes");
        let signs = &self.characters[character];
        let mut projected = vec![None; state.len()];
        for start in 0..state.len() {
            // All states of an orbit have the same projected amplitude, up to its sign.
            if projected[start].is_none() {
                let orbit: Vec<usize> = self.elements.iter().map(|g| g.image_of_state(start)).collect();
                let sum: f64 = orbit.iter().zip(signs).map(|(&image, &sign)| f64::from(sign) * state[image]).sum();
                let mean = sum / self.order() as f64;
                orbit.iter().zip(signs).for_each(|(&image, &sign)| projected[image] = Some(f64::from(sign) * mean));
            }
        }
        projected.into_iter().flatten().collect()
    }
}

/// `(x, y) → (±x + dx, ±y + dy)` on the torus, with or without exchange of x and y, with or without spin flip.
#[derive(Clone, Copy, PartialEq)]
struct Candidate {
    shift: [usize; 2],
    mirror: [bool; 2],
    exchange: bool,
    flips: bool,
}

impl Candidate {
    /// All candidates on `lattice`, the identity first.
    fn all(lattice: &Lattice) -> impl Iterator<Item = Self> {
        let (lx, ly) = (lattice.lx, lattice.ly);
        let kinds = if lx == ly { 16 } else { 8 };
        (0..kinds * lx * ly).map(move |index| {
            let (kind, site) = (index % kinds, index / kinds);
            let bit = |k: usize| kind >> k & 1 == 1;
            Self { shift: [site / ly, site % ly], mirror: [bit(0), bit(1)], flips: bit(2), exchange: bit(3) }
        })
    }

    fn symmetry(&self, lattice: &Lattice) -> Symmetry {
        let sides = [lattice.lx, lattice.ly];
        let from = (0..lattice.sites()).map(|site| {
            let (x, y) = lattice.position(site);
            let [x, y] = if self.exchange { [y, x] } else { [x, y] };
            let to = |axis: usize, at: usize| {
                let at = if self.mirror[axis] { sides[axis] - at } else { at };
                (at + self.shift[axis]) % sides[axis]
            };
            (to(0, x) * lattice.ly + to(1, y)) as u32
        });
        Symmetry { from: from.collect(), flips: self.flips }
    }

    /// The named generators of the group of all candidates.
    fn generators(lattice: &Lattice) -> [(&'static str, Self); 6] {
        let plain = Self { shift: [0, 0], mirror: [false, false], exchange: false, flips: false };
        let (last_x, last_y) = (lattice.lx - 1, lattice.ly - 1);
        [
            ("translation along x", Self { shift: [1 % lattice.lx, 0], ..plain }),
            ("translation along y", Self { shift: [0, 1 % lattice.ly], ..plain }),
            ("reflection of x", Self { shift: [last_x, 0], mirror: [true, false], ..plain }),
            ("reflection of y", Self { shift: [0, last_y], mirror: [false, true], ..plain }),
            ("exchange of x and y", Self { exchange: true, ..plain }),
            ("spin flip", Self { flips: true, ..plain }),
        ]
    }

    /// Name of the candidate, if it is one of the named generators.
    fn name(&self, lattice: &Lattice) -> Option<&'static str> {
        Self::generators(lattice).into_iter().find(|(_, generator)| generator == self).map(|(name, _)| name)
    }
}

/// The named generators of the symmetry group of `terms` on `lattice`, each once and without the identity: translations
/// by one site, reflections, the exchange of x and y, and the spin flip. Unlike [`SymmetryGroup::new`], this takes time
/// proportional to the number of terms, so that any lattice is possible.
///
/// # Errors
/// [`ErrorKind::Settings`] for terms that fail [`Terms::check`] or belong to another lattice.
pub fn named_symmetries(terms: &Terms, lattice: &Lattice) -> Result<Vec<(&'static str, Symmetry)>> {
    check_sites(terms, lattice)?;
    let coefficients = [false, true].map(|flips| Coefficients::of(terms, flips));
    let mut found: Vec<(&'static str, Symmetry)> = Vec::new();
    for (name, candidate) in Candidate::generators(lattice) {
        // The exchange of the sides is a map of the lattice onto itself only if they are equal.
        if candidate.exchange && lattice.lx != lattice.ly {
            continue;
        }
        let symmetry = candidate.symmetry(lattice);
        let is_new = !symmetry.is_identity() && found.iter().all(|(_, other)| *other != symmetry);
        if is_new && coefficients[0].are_those_of(&coefficients[usize::from(symmetry.flips)], &symmetry) {
            found.push((name, symmetry));
        }
    }
    Ok(found)
}

/// Checks `lattice` and `terms`, and that they have the same number of sites.
fn check_sites(terms: &Terms, lattice: &Lattice) -> Result<()> {
    lattice.check()?;
    terms.check()?;
    let (expected, sites) = (lattice.sites(), terms.sites());
    if sites == expected {
        return Ok(());
    }
    let text = format!("symmetry: expected terms for {expected} sites, got {sites}; build them from this lattice");
    Err(Error::new(ErrorKind::Settings, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Heisenberg, Move, Operator, Rydberg, Tfim, ground_state};

    fn group(hamiltonian: &dyn Hamiltonian, lattice: Lattice) -> SymmetryGroup {
        SymmetryGroup::new(&hamiltonian.terms(&lattice).unwrap(), &lattice).unwrap()
    }

    #[test]
    fn orders_are_those_of_lattice_and_hamiltonian() {
        let (rydberg, plain) = (Rydberg::default(), Heisenberg { j2: 0.5, ..Heisenberg::default() });
        let marshall = Heisenberg { marshall: true, ..plain };
        for (hamiltonian, lattice, order) in [
            (&plain as &dyn Hamiltonian, Lattice::square(4, 4).periodic(), 16 * 8 * 2),
            (&marshall, Lattice::square(4, 4).periodic(), 16 * 8 * 2),
            (&plain, Lattice::square(6, 6).periodic(), 36 * 8 * 2),
            (&plain, Lattice::square(3, 5).periodic(), 15 * 4 * 2),
            (&plain, Lattice::chain(16).periodic(), 16 * 2 * 2),
            (&plain, Lattice::square(4, 4), 8 * 2),
            (&plain, Lattice::square(4, 3), 4 * 2),
            (&plain, Lattice { periodic: [true, false], ..Lattice::square(4, 3) }, 4 * 4 * 2),
            (&plain, Lattice::chain(5), 2 * 2),
            (&rydberg, Lattice::square(4, 4), 8),
            (&rydberg, Lattice::square(4, 3), 4),
            (&rydberg, Lattice::chain(7), 2),
            (&rydberg, Lattice::chain(1), 1),
            (&Tfim::default(), Lattice::square(4, 6).periodic(), 24 * 4 * 2),
        ] {
            let group = group(hamiltonian, lattice);
            assert_eq!(group.order(), order, "{} {lattice}", hamiltonian.name());
            assert_eq!(group.elements()[0].image(&vec![0; lattice.sites()]), vec![0; lattice.sites()]);
        }
    }

    /// `H gψ = g Hψ` for an irregular state, and the elements are closed under products.
    #[test]
    fn elements_commute_with_the_hamiltonian_and_form_a_group() {
        for (hamiltonian, lattice) in [
            (&Heisenberg { j2: 0.3, ..Heisenberg::default() } as &dyn Hamiltonian, Lattice::square(3, 3).periodic()),
            (&Rydberg::default(), Lattice::square(3, 3)),
            (&Tfim::default(), Lattice::chain(6)),
            (&Heisenberg { j1: 1.0, j2: 0.7, marshall: true }, Lattice::square(2, 4).periodic()),
        ] {
            let (group, terms) = (group(hamiltonian, lattice), hamiltonian.terms(&lattice).unwrap());
            let operator = Operator::new(&terms).unwrap();
            let state: Vec<f64> = (0..operator.states()).map(|s| ((s * 29 + 5) % 31) as f64 / 16.0 - 1.0).collect();
            let apply = |x: &[f64]| {
                let mut y = vec![0.0; x.len()];
                operator.apply(x, &mut y);
                y
            };
            let of_state = apply(&state);
            for g in group.elements() {
                let turn = |x: &[f64]| (0..x.len()).map(|s| x[g.image_of_state(s)]).collect::<Vec<f64>>();
                for (a, b) in apply(&turn(&state)).into_iter().zip(turn(&of_state)) {
                    assert!((a - b).abs() < 1e-12 * terms.bound(), "{}: {a} {b}", hamiltonian.name());
                }
                assert!(group.elements().iter().all(|h| group.elements().contains(&g.after(h))));
            }
        }
    }

    #[test]
    fn what_a_term_breaks_is_left_out() {
        let lattice = Lattice::square(4, 4).periodic();
        let whole = Heisenberg::default().terms(&lattice).unwrap();
        let order = |change: &dyn Fn(&mut Terms)| {
            let mut terms = whole.clone();
            change(&mut terms);
            SymmetryGroup::new(&terms, &lattice).unwrap().order()
        };
        assert_eq!(order(&|_| ()), 256);
        assert_eq!(order(&|t| t.field.iter_mut().for_each(|field| *field += 0.1)), 128);
        // A translation and a flip both change the sign of a staggered field: half of the permutations need a flip.
        let staggered = |t: &mut Terms| {
            t.field.iter_mut().enumerate().for_each(|(site, field)| *field += 0.1 * lattice.sublattice_sign(site));
        };
        assert_eq!(order(&staggered), 128);
        assert_eq!(order(&|t| t.field[0] += 1e-6), 8);
        assert_eq!(order(&|t| t.moves[5].amplitude *= 1.0 + 1e-6), 8);
        assert_eq!(order(&|t| t.moves.push(Move::flip(3, 0.0))), 256);
        // Repeated terms add up, whatever the order of their sites.
        let split = |t: &mut Terms| {
            let half = Move { amplitude: 0.5 * t.moves[9].amplitude, ..t.moves[9] };
            t.moves[9] = half;
            t.moves.insert(0, Move { first: half.second.unwrap(), second: Some(half.first), ..half });
        };
        assert_eq!(order(&split), 256);
    }

    /// Signs of the ground states of Heisenberg rings: even under a translation, and under a flip, if N/2 is even.
    #[test]
    fn projections_find_the_representation_of_the_ground_state() {
        for sites in [6, 8, 10] {
            let lattice = Lattice::chain(sites).periodic();
            let terms = Heisenberg::default().terms(&lattice).unwrap();
            let (group, ground) = (group(&Heisenberg::default(), lattice), ground_state(&terms, sites).unwrap());
            assert_eq!(group.characters().len(), 8);
            let weight = |projected: &[f64]| projected.iter().map(|a| a * a).sum::<f64>();
            let weights: Vec<f64> = (0..8).map(|c| weight(&group.project(c, &ground.state))).collect();
            let best = (0..8).max_by(|a, b| weights[*a].total_cmp(&weights[*b])).unwrap();
            assert!((weights[best] - 1.0).abs() < 1e-9 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let odd = group.odd(best);
            assert_eq!(odd.contains(&"translation along x"), sites % 4 == 2, "{sites}: {odd:?}");
            assert_eq!(odd.contains(&"spin flip"), sites % 4 == 2, "{sites}: {odd:?}");
        }
    }

    #[test]
    fn images_of_configurations_and_of_states_agree() {
        let group = group(&Heisenberg::default(), Lattice::square(2, 3).periodic());
        for g in group.elements() {
            for state in 0..64 {
                let config: Vec<u8> = (0..6).map(|i| (state >> i & 1) as u8).collect();
                let image = g.image(&config).iter().rev().fold(0, |index, n| index << 1 | usize::from(*n));
                assert_eq!(g.image_of_state(state), image);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let terms = Tfim::default().terms(&Lattice::chain(4)).unwrap();
        let message = |lattice| SymmetryGroup::new(&terms, &lattice).unwrap_err().to_string();
        assert!(message(Lattice::chain(5)).contains("5 sites, got 4"));
        let lattice = Lattice::square(33, 32);
        let terms = Tfim::default().terms(&lattice).unwrap();
        assert!(SymmetryGroup::new(&terms, &lattice).unwrap_err().to_string().contains("at most 1024 sites"));
    }
}
