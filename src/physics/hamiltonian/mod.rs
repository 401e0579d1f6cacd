//! Hamiltonians as data: a diagonal of fields and pairs, and a list of off-diagonal terms.

mod blockade;
mod heisenberg;
mod rydberg;
mod tfim;
mod xxz;

pub use blockade::{Blockade, excluded_pairs};
pub use heisenberg::Heisenberg;
pub use rydberg::{MAX_RYDBERG_SITES, Rydberg};
pub use tfim::Tfim;
pub use xxz::Xxz;

use super::{Lattice, Order};
use crate::error::{Error, ErrorKind, Result};

/// `H = constant + Σ_i field_i n_i + Σ_(a,b) pair_ab n_a n_b + Σ_m amplitude_m · X_m` in occupations `n` ∈ {0, 1}.
///
/// `X_m` flips the sites of the off-diagonal term `m` where its condition holds and is zero elsewhere. A spin
/// Hamiltonian takes this form with `σᶻ = 2n − 1`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Energy of the empty configuration.
    pub constant: f64,
    /// One coefficient of `n_i` for each of the `N` sites.
    pub field: Vec<f64>,
    /// Coefficients of `n_a n_b`. Repeated pairs add up.
    pub pairs: Vec<Pair>,
    /// The off-diagonal terms. Repeated terms add up.
    pub moves: Vec<Move>,
    /// Pairs of different sites that are not occupied together: H acts in the subspace of the other configurations, and
    /// off-diagonal terms that would leave it are zero. Empty for all configurations.
    pub exclusions: Vec<[usize; 2]>,
}

/// One term `coefficient · n_a n_b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Two different sites, in either order.
    pub sites: [usize; 2],
    /// Energy if both sites are occupied.
    pub coefficient: f64,
}

/// One off-diagonal term: flips one or two sites where `condition` holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// The site that is flipped.
    pub first: usize,
    /// The second site that is flipped, if there are two.
    pub second: Option<usize>,
    /// Matrix element between the configuration and the flipped one.
    pub amplitude: f64,
    /// The configurations on which the term acts.
    pub condition: MoveCondition,
    /// Whether `amplitude` has the opposite sign in the basis of the Hamiltonian, because a rotation by π about z of one
    /// of the sites, `ψ(σ) → (−1)^n ψ(σ)`, changed it. Estimates of σˣ use it to be those of that basis.
    pub rotated: bool,
}

/// Configurations on which a [`Move`] acts. Every condition also holds after the flip, so `H` is symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoveCondition {
    /// All configurations.
    Always,
    /// Configurations in which the two sites differ; the flip is then an exchange.
    Antiparallel,
}

impl Move {
    /// `amplitude · σˣ` on one site.
    pub const fn flip(site: usize, amplitude: f64) -> Self {
        Self { first: site, second: None, amplitude, condition: MoveCondition::Always, rotated: false }
    }

    /// `amplitude · (σ⁺σ⁻ + σ⁻σ⁺)`: exchanges the occupations of two sites where they differ.
    pub const fn exchange(first: usize, second: usize, amplitude: f64) -> Self {
        Self { first, second: Some(second), amplitude, condition: MoveCondition::Antiparallel, rotated: false }
    }

    /// The same term after a rotation by π about z of one of its sites, if `rotates`: with the opposite amplitude.
    pub const fn after_rotation(self, rotates: bool) -> Self {
        match rotates {
            true => Self { amplitude: -self.amplitude, rotated: !self.rotated, ..self },
            false => self,
        }
    }

    /// Whether the condition holds for `config`, `N` occupations in site order.
    pub fn acts_on(&self, config: &[u8]) -> bool {
        match (self.condition, self.second) {
            (MoveCondition::Antiparallel, Some(second)) => config[self.first] != config[second],
            _ => true,
        }
    }

    /// Flips the sites of this term in `config`, whether or not the condition holds.
    pub fn flip_in(&self, config: &mut [u8]) {
        for site in [Some(self.first), self.second].into_iter().flatten() {
            config[site] ^= 1;
        }
    }
}

impl Terms {
    /// `N`, the number of sites.
    pub fn sites(&self) -> usize {
        self.field.len()
    }

    /// The diagonal matrix element of `config`, `N` occupations in site order.
    pub fn diagonal(&self, config: &[u8]) -> f64 {
        let fields: f64 = self.field.iter().zip(config).filter(|(_, n)| **n != 0).map(|(field, _)| field).sum();
        let occupied = |pair: &&Pair| pair.sites.iter().all(|&site| config[site] != 0);
        let pairs: f64 = self.pairs.iter().filter(occupied).map(|pair| pair.coefficient).sum();
        self.constant + fields + pairs
    }

    /// Whether `config`, N occupations in site order, occupies no excluded pair.
    pub fn admits(&self, config: &[u8]) -> bool {
        self.exclusions.iter().all(|pair| pair.iter().any(|&site| config[site] == 0))
    }

    /// Whether no off-diagonal element is positive. The ground state can then be chosen non-negative, as a wave
    /// function `ψ = √p` requires.
    pub fn is_stoquastic(&self) -> bool {
        self.moves.iter().all(|step| step.amplitude <= 0.0)
    }

    /// Whether every off-diagonal term is an exchange, so that `H` conserves the number of occupied sites.
    pub fn conserves_magnetization(&self) -> bool {
        self.moves.iter().all(|step| step.second.is_some() && step.condition == MoveCondition::Antiparallel)
    }

    /// Whether a flip of all spins, `n` → `1 − n`, leaves the terms invariant up to rounding. Off-diagonal terms always
    /// are; the field of a site must cancel half of its pairs.
    pub fn is_flip_symmetric(&self) -> bool {
        let mut fields = self.field.clone();
        for Pair { sites, coefficient } in &self.pairs {
            sites.iter().for_each(|site| fields[*site] += 0.5 * coefficient);
        }
        let sizes = self.field.iter().copied().chain(self.pairs.iter().map(|pair| pair.coefficient));
        let largest = sizes.fold(0.0, |largest: f64, size| largest.max(size.abs()));
        fields.iter().all(|field| field.abs() <= 1e-12 * largest)
    }

    /// Sign of σˣ of each site in the basis of the Hamiltonian: −1 where its flip is rotated.
    pub(crate) fn sigma_x_signs(&self) -> Vec<f64> {
        let mut signs = vec![1.0; self.sites()];
        self.moves
            .iter()
            .filter(|step| step.second.is_none() && step.rotated)
            .for_each(|step| signs[step.first] = -1.0);
        signs
    }

    /// `E_∞ = tr H / dim`, the mean energy over all configurations, or over those with the given number of
    /// `excitations`. It is the energy of an uncorrelated state, the reference of V-scores (Wu et al., Science 386, 296
    /// (2024)). Off-diagonal terms have no trace. `⟨n⟩ = ½` and `⟨n n'⟩ = ¼` over all configurations, `m/N` and `m(m −
    /// 1)/(N(N − 1))` over those with `m` occupied sites. NaN for terms with exclusions, whose configurations have other
    /// means.
    pub fn infinite_temperature_energy(&self, excitations: Option<usize>) -> f64 {
        if !self.exclusions.is_empty() {
            return f64::NAN;
        }
        let sites = self.sites() as f64;
        let (one, both) = match excitations.map(|m| m as f64) {
            None => (0.5, 0.25),
            Some(m) => (m / sites, m * (m - 1.0) / (sites * (sites - 1.0))),
        };
        let pairs: f64 = self.pairs.iter().map(|pair| both * pair.coefficient).sum();
        self.constant + one * self.field.iter().sum::<f64>() + pairs
    }

    /// Checks that the terms describe a Hamiltonian: sites in range and different, all coefficients finite, and a
    /// finite sum of their absolute values, so that no energy overflows.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the first invalid coefficient.
    pub fn check(&self) -> Result<()> {
        let sites = self.sites();
        let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("hamiltonian: {text}")));
        if sites == 0 {
            return fault("expected at least one site, got none; give `field` one entry for each site".into());
        }
        let finite = |what: &dyn Fn() -> String, value: f64| match value.is_finite() {
            true => Ok(()),
            false => fault(format!("{} must be finite, got {value}; give a finite number", what())),
        };
        let places = |what: &dyn Fn() -> String, a: usize, b: Option<usize>| {
            if let Some(site) = [Some(a), b].into_iter().flatten().find(|&site| site >= sites) {
                return fault(format!("{} expected sites below {sites}, got {site}; number sites from 0", what()));
            }
            match b == Some(a) {
                true => fault(format!("{} expected two different sites, got {a} twice; use one-site terms", what())),
                false => Ok(()),
            }
        };
        finite(&|| "the constant".into(), self.constant)?;
        for (site, &value) in self.field.iter().enumerate() {
            finite(&|| format!("the field of site {site}"), value)?;
        }
        for Pair { sites: [a, b], coefficient } in &self.pairs {
            let what = || format!("the pair ({a}, {b})");
            places(&what, *a, Some(*b))?;
            finite(&what, *coefficient)?;
        }
        for [a, b] in &self.exclusions {
            places(&|| format!("the exclusion ({a}, {b})"), *a, Some(*b))?;
        }
        for (index, step) in self.moves.iter().enumerate() {
            let what = || format!("move {index}");
            places(&what, step.first, step.second)?;
            if step.condition == MoveCondition::Antiparallel && step.second.is_none() {
                return fault(format!("move {index} is antiparallel but has one site; give it a second site"));
            }
            finite(&what, step.amplitude)?;
        }
        if !self.bound().is_finite() {
            return fault("the coefficients are finite but their sum overflows; give smaller couplings".into());
        }
        Ok(())
    }

    /// `|constant| + Σ|field| + Σ|pair| + Σ|amplitude|`, an upper bound of the |eigenvalues| of `H`.
    pub fn bound(&self) -> f64 {
        let fields: f64 = self.field.iter().map(|field| field.abs()).sum();
        let pairs: f64 = self.pairs.iter().map(|pair| pair.coefficient.abs()).sum();
        let moves: f64 = self.moves.iter().map(|step| step.amplitude.abs()).sum();
        self.constant.abs() + fields + pairs + moves
    }
}

/// A model Hamiltonian, which defines [`Terms`] on a lattice. Its fields are the couplings, named as in the literature.
pub trait Hamiltonian {
    /// Name on the command line and in reports, in lower case.
    fn name(&self) -> &'static str;

    /// Returns the checked terms on `lattice`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the invalid lattice or coupling.
    fn terms(&self, lattice: &Lattice) -> Result<Terms>;

    /// The magnetization that orders, for which results show its size and fluctuation.
    fn order(&self) -> Order {
        Order::Staggered
    }

    /// Maximum number of [`Terms::pairs`] on `lattice`, from which memory is estimated before they are built. By default
    /// four per site, enough for nearest and next-nearest neighbors.
    fn max_pairs(&self, lattice: &Lattice) -> usize {
        lattice.sites().saturating_mul(4)
    }
}

/// Checks that the couplings of a Hamiltonian, named as on the command line, are finite.
///
/// # Errors
/// [`ErrorKind::Settings`] with the first coupling that is not finite.
pub(super) fn check_couplings(hamiltonian: &dyn Hamiltonian, couplings: &[(&str, f64)]) -> Result<()> {
    let Some((name, value)) = couplings.iter().find(|(_, value)| !value.is_finite()) else { return Ok(()) };
    let of = hamiltonian.name();
    let message = format!("{of}: {name} must be finite, got {value}; give {name}= a finite number");
    Err(Error::new(ErrorKind::Settings, message))
}

/// Checks that the checkerboard of `lattice` has two sublattices, which the Marshall rotation needs: it does not close
/// around an odd periodic side. A side of one site has no bonds to close.
///
/// # Errors
/// [`ErrorKind::Settings`] otherwise.
pub(super) fn check_sublattices(hamiltonian: &dyn Hamiltonian, lattice: &Lattice) -> Result<()> {
    let mut sides = [lattice.lx, lattice.ly].into_iter().zip(lattice.periodic);
    let Some((side, _)) = sides.find(|(side, periodic)| *periodic && *side > 1 && side % 2 == 1) else { return Ok(()) };
    let message = format!(
        "{}: the Marshall rotation needs two sublattices, which {lattice} does not have because its side of {side} is \
         periodic; give even sides, periodic=false, or marshall=false with a complex wave function",
        hamiltonian.name()
    );
    Err(Error::new(ErrorKind::Settings, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Terms {
        Terms {
            constant: 0.5,
            field: vec![1.0, 2.0, 4.0],
            pairs: vec![Pair { sites: [0, 1], coefficient: 8.0 }, Pair { sites: [2, 0], coefficient: 16.0 }],
            moves: vec![Move::flip(1, -1.0), Move::exchange(0, 2, -0.25)],
            exclusions: Vec::new(),
        }
    }

    #[test]
    fn the_diagonal_adds_what_is_occupied() {
        let terms = example();
        for (config, energy) in
            [([0, 0, 0], 0.5), ([1, 0, 0], 1.5), ([1, 1, 0], 11.5), ([0, 1, 1], 6.5), ([1, 1, 1], 31.5)]
        {
            assert_eq!(terms.diagonal(&config), energy);
        }
        assert_eq!(terms.bound(), 0.5 + 7.0 + 24.0 + 1.25);
    }

    #[test]
    fn moves_flip_where_their_condition_holds() {
        let exchange = Move::exchange(0, 2, 1.0);
        assert!(exchange.acts_on(&[1, 0, 0]) && exchange.acts_on(&[0, 1, 1]));
        assert!(!exchange.acts_on(&[0, 1, 0]) && !exchange.acts_on(&[1, 0, 1]));
        let mut config = [1, 0, 0];
        exchange.flip_in(&mut config);
        assert_eq!(config, [0, 0, 1]);
        Move::flip(1, 1.0).flip_in(&mut config);
        assert_eq!(config, [0, 1, 1]);
        assert!(Move::flip(1, 1.0).acts_on(&config));
        assert!(Move { condition: MoveCondition::Always, ..exchange }.acts_on(&[1, 0, 1]));
    }

    #[test]
    fn a_positive_amplitude_is_not_stoquastic() {
        let mut terms = example();
        assert!(terms.is_stoquastic());
        terms.moves.push(Move::flip(0, 0.0));
        assert!(terms.is_stoquastic());
        terms.moves.push(Move::exchange(0, 1, 0.5));
        assert!(!terms.is_stoquastic());
    }

    #[test]
    fn exchanges_keep_excitations() {
        let mut terms = example();
        assert!(!terms.conserves_magnetization());
        terms.moves.remove(0);
        assert!(terms.conserves_magnetization());
        terms.moves.push(Move { condition: MoveCondition::Always, ..Move::exchange(0, 1, 1.0) });
        assert!(!terms.conserves_magnetization());
    }

    #[test]
    fn the_energy_at_infinite_temperature_is_the_mean_of_the_diagonal() {
        let terms = Terms { field: vec![1.0, -2.0, 4.0, 0.5], ..example() };
        let configuration = |index: usize| (0..4).map(|site| (index >> site & 1) as u8).collect::<Vec<u8>>();
        let energies = (0..16).map(|index| (configuration(index), terms.diagonal(&configuration(index))));
        for excitations in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
            let within = |config: &[u8]| excitations.is_none_or(|m| config.iter().filter(|n| **n == 1).count() == m);
            let of_sector: Vec<f64> = energies.clone().filter(|(c, _)| within(c)).map(|(_, energy)| energy).collect();
            let mean = of_sector.iter().sum::<f64>() / of_sector.len() as f64;
            let found = terms.infinite_temperature_energy(excitations);
            assert!((found - mean).abs() < 1e-13, "{excitations:?}: {found}, not {mean}");
        }
    }

    #[test]
    fn faults_are_named() {
        assert!(example().check().is_ok());
        let message = |change: fn(&mut Terms)| {
            let mut terms = example();
            change(&mut terms);
            let error = terms.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            error.to_string()
        };
        assert!(message(|t| t.constant = f64::NAN).contains("the constant must be finite, got NaN"));
        assert!(message(|t| t.field[2] = f64::INFINITY).contains("field of site 2 must be finite, got inf"));
        assert!(
            message(|t| t.pairs[1].coefficient = f64::NEG_INFINITY).contains("pair (2, 0) must be finite, got -inf")
        );
        assert!(message(|t| t.moves[1].amplitude = f64::NAN).contains("move 1 must be finite"));
        assert!(message(|t| t.pairs[0].sites = [0, 3]).contains("sites below 3, got 3"));
        assert!(message(|t| t.pairs[0].sites = [1, 1]).contains("different sites, got 1 twice"));
        assert!(message(|t| t.moves[0].first = 9).contains("sites below 3, got 9"));
        assert!(message(|t| t.moves[1].second = Some(0)).contains("0 twice"));
        assert!(message(|t| t.moves[1].second = None).contains("antiparallel but has one site"));
        assert!(message(|t| t.field = vec![f64::MAX; 3]).contains("overflows"));
        assert!(message(|t| t.field.clear()).contains("at least one site"));
    }
}
