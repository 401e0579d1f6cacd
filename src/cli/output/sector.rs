//! Momentum and parities of a wave function: expectation values of the symmetries of its Hamiltonian.

use std::f64::consts::{PI, TAU};

use ketformer::physics::{Symmetry, Terms, named_symmetries};
use ketformer::vmc::{Amplitudes, SampleConfig, State, SymmetryExpectation};
use ketformer::{Lattice, Result};
use serde_json::{Value, json};

use super::number::{Measurement, significant};
use crate::cli::groups::Problem;
use crate::cli::output;

/// Maximum number of samples of the estimates, each with one image per symmetry.
const SAMPLES: usize = 1024;

/// Maximum number of pairs of a Hamiltonian whose symmetries are determined, which takes some hundred bytes per pair.
const PAIRS: usize = 1 << 20;

/// Minimum part of ⟨T⟩ along an eigenvalue from which a state counts as an eigenstate.
const HOLDS: f64 = 0.99;

/// Expectation values of the named symmetries of a Hamiltonian.
pub struct Sector {
    lattice: Lattice,
    named: Vec<(&'static str, SymmetryExpectation)>,
    /// Number of samples; `None` for a sum over all configurations.
    samples: Option<usize>,
    /// Whether the wave function is that of a rotated Hamiltonian.
    is_rotated: bool,
}

impl Sector {
    /// Computes them exactly from `amplitudes`, or from at most [`SAMPLES`] samples.
    ///
    /// # Errors
    /// Errors of [`State::expect_symmetries`].
    pub fn new(
        problem: &Problem,
        terms: &Terms,
        state: &State<'_>,
        amplitudes: Option<&Amplitudes>,
        config: SampleConfig,
    ) -> Result<Self> {
        let Problem { lattice, hamiltonian_settings, .. } = problem;
        let is_small = terms.pairs.len() <= PAIRS;
        let named = if is_small { named_symmetries(terms, lattice)? } else { Vec::new() };
        let (names, symmetries): (Vec<&str>, Vec<Symmetry>) = named.into_iter().unzip();
        let samples = config.samples.min(SAMPLES);
        let found = match amplitudes {
            _ if symmetries.is_empty() => Vec::new(),
            Some(all) => {
                symmetries.iter().map(|g| SymmetryExpectation { value: all.expectation(g), error: [0.0; 2] }).collect()
            }
            None => state.expect_symmetries(&symmetries, SampleConfig { samples, ..config })?,
        };
        let has_rotation = hamiltonian_settings.group().keys.iter().any(|key| key.name == "marshall");
        Ok(Self {
            lattice: *lattice,
            named: names.into_iter().zip(found).collect(),
            samples: amplitudes.is_none().then_some(samples),
            is_rotated: has_rotation && hamiltonian_settings.switch("marshall"),
        })
    }

    /// Momentum in units of π, or parity, if the state has one.
    fn label(&self, name: &str, expectation: &SymmetryExpectation) -> Option<Label> {
        let [re, im] = expectation.value;
        let momentum = |side: usize| {
            // ψ(gσ) = e^(−ik) ψ(σ), with k a multiple of 2π/L.
            let k = (-im).atan2(re);
            let steps = (k * side as f64 / TAU).round();
            let k = TAU * steps / side as f64;
            let of_pi = if k <= -PI { 1.0 } else { k / PI + 0.0 };
            (re * k.cos() - im * k.sin() >= HOLDS).then_some(Label::Momentum(of_pi))
        };
        match name {
            "translation along x" => momentum(self.lattice.lx),
            "translation along y" => momentum(self.lattice.ly),
            _ => (re.abs() >= HOLDS).then_some(Label::Parity(re > 0.0)),
        }
    }

    /// Prints one line for each symmetry.
    pub fn show(&self) {
        for (name, expectation) in &self.named {
            let [re, im] = expectation.value;
            let number = |mean: f64, error: f64| match self.samples {
                Some(_) => Measurement { mean, error }.to_string(),
                None => format!("{mean:.5}"),
            };
            let imaginary = if im.abs() > 1e-3 + 3.0 * expectation.error[1] {
                format!(" + i ({})", number(im, expectation.error[1]))
            } else {
                String::new()
            };
            let label = match self.label(name, expectation) {
                Some(Label::Momentum(k)) => format!("momentum {} pi", significant(k, 3)),
                Some(Label::Parity(true)) => "even".into(),
                Some(Label::Parity(false)) => "odd".into(),
                None => "not an eigenstate".into(),
            };
            output::line(format!("{name} {}{imaginary}: {label}{}", number(re, expectation.error[0]), self.origin()));
        }
    }

    fn origin(&self) -> String {
        let samples = self.samples.map_or("  enumerated".into(), |samples| format!("  {samples} samples"));
        let rotated = if self.is_rotated { ", of the state rotated by marshall=true" } else { "" };
        samples + rotated
    }

    /// Returns the values as JSON: an array with one object for each symmetry. A momentum is in units of π.
    pub fn json(&self) -> Value {
        let row = |(name, expectation): &(&str, SymmetryExpectation)| {
            let label = self.label(name, expectation);
            json!({
                "symmetry": name,
                "expectation": expectation.value,
                "error": expectation.error,
                "samples": self.samples,
                "eigenstate": label.is_some(),
                "momentum": match label { Some(Label::Momentum(k)) => Some(k), _ => None },
                "parity": match label { Some(Label::Parity(even)) => Some(if even { 1 } else { -1 }), _ => None },
                "rotated": self.is_rotated,
            })
        };
        self.named.iter().map(row).collect()
    }
}

/// Eigenvalue of a symmetry.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Label {
    /// k in units of π, above −1 and at most 1.
    Momentum(f64),
    /// Whether the state is even.
    Parity(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_momenta_and_parities() {
        let sector = Sector { lattice: Lattice::square(6, 4), named: Vec::new(), samples: None, is_rotated: false };
        let label = |name, value| sector.label(name, &SymmetryExpectation { value, error: [0.0; 2] });
        let momentum = |k: f64| Some(Label::Momentum(k));
        assert_eq!(label("translation along x", [-1.0, 0.0]), momentum(1.0));
        assert_eq!(label("translation along x", [-1.0, 1e-17]), momentum(1.0));
        assert_eq!(label("translation along x", [1.0, 0.0]), momentum(0.0));
        // k = π/3 has the eigenvalue e^(−iπ/3).
        let [re, im] = [(PI / 3.0).cos(), -(PI / 3.0).sin()];
        let Some(Label::Momentum(k)) = label("translation along x", [re, im]) else { panic!() };
        assert!((k - 1.0 / 3.0).abs() < 1e-12);
        // A side of 4 has no momentum π/3.
        assert_eq!(label("translation along y", [re, im]), None);
        assert_eq!(label("translation along y", [0.9, 0.0]), None);
        assert_eq!(label("spin flip", [-0.999, 0.0]), Some(Label::Parity(false)));
        assert_eq!(label("reflection of x", [0.995, 0.0]), Some(Label::Parity(true)));
        assert_eq!(label("reflection of x", [0.5, 0.0]), None);
    }
}
