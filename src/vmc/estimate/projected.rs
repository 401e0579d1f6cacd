//! Energy of a wave function projected onto a representation χ of the symmetry group of the Hamiltonian.
//!
//! ```text
//! ψ_χ(σ) = (1/|G|) Σ_g χ(g) ψ(gσ)                    E_χ(σ) = Σ_g χ(g) ψ(gσ) E(gσ) / Σ_g χ(g) ψ(gσ)
//! q(σ) = (1/|G|) Σ_g |ψ(gσ)|²                        ⟨E⟩ = Σ w E_χ / Σ w,   w = |ψ_χ|² / q
//! ```
//!
//! H commutes with every g, so the local energy E_χ of ψ_χ is a combination of local energies E of ψ at the images of a
//! sample. No other configurations are needed. w and E_χ are constant on an orbit, and |ψ|² and q give each orbit the
//! same total probability. w is at most 1 (Cauchy–Schwarz), so no sample gets a larger weight than without projection.
//! The mean of w is the weight of ψ in χ, ⟨ψ|P|ψ⟩/⟨ψ|ψ⟩.
//!
//! Source of the projection: Nomura, J. Phys.: Condens. Matter 33, 174003 (2021).
//!
//! The group consists of the translations, the point group and the spin flip, each checked against the terms of the
//! Hamiltonian ([`SymmetryGroup`]). χ is the real one-dimensional representation with the largest weight, which is not
//! always the trivial one: the ground state of a Heisenberg ring of 4n + 2 sites is odd.

use std::collections::HashMap;

use super::evaluate::{check_samples, chunk_of, diverged};
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Hamiltonian, SymmetryGroup};
use crate::vmc::state::{SampleConfig, State};
use crate::vmc::statistics::{autocorrelation_time, ratio_of_means, series, v_score, widening};
use crate::vmc::step::fixed_configurations::{FixedConfigurations, FixedValues};

/// Energy and variance of a projected wave function.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProjectedEstimate {
    /// Number of samples drawn.
    pub samples: usize,
    /// Index of the representation in [`SymmetryGroup::characters`]: the one with the largest weight.
    pub character: usize,
    /// Weight of the wave function in the representation, between 0 and 1.
    pub weight: f64,
    /// Energy of the projected wave function, of the whole lattice.
    pub energy: f64,
    /// Standard error of the energy by the jackknife, times √(2τ) for Markov chains, more if they drift or are too
    /// short to show it.
    pub energy_error: f64,
    /// Variance of the local energy, ⟨|E − Ē|²⟩.
    pub variance: f64,
    /// V-score, as [`crate::vmc::Estimate::v_score`].
    pub v_score: f64,
    /// Effective number of independent samples of equal weight, (Σw)²/Σw² / 2τ.
    pub effective_samples: f64,
}

/// Number of chunks of images that are collected before evaluation, so that few slots of the last chunk are unused.
const GATHERED: usize = 16;

/// `[[re s, im s], [re t, im t]]` of each representation, with s = ψ_χ/√q and t = s E_χ: w = |s|² and w E_χ = s* t.
type Parts = Vec<[[f64; 2]; 2]>;

/// Orbit of a sample: its configurations, each with Σ χ(g) over the g that map the sample to it, for every χ.
struct Orbit {
    at: usize,
    images: Vec<Vec<u8>>,
    signs: Vec<Vec<i32>>,
}

impl State<'_> {
    /// Draws samples as [`State::expect`] and estimates the energy of the wave function projected onto the
    /// representation of `group` in which it has the largest weight. Sums are in f64.
    ///
    /// Evaluates one local energy per distinct image of the samples, at most samples × symmetries.
    ///
    /// # Errors
    /// As [`State::expect`]; [`ErrorKind::Settings`] if `group` has one element, or is not one of
    /// symmetries of this Hamiltonian on this lattice.
    pub fn expect_projected(
        &self,
        hamiltonian: &dyn Hamiltonian,
        group: &SymmetryGroup,
        config: SampleConfig,
    ) -> Result<ProjectedEstimate> {
        check_samples(config.samples)?;
        group.check(&hamiltonian.terms(self.lattice)?, self.lattice)?;
        if group.order() < 2 {
            let message = "the Hamiltonian has no symmetry on this lattice; leave symmetrize out";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let samples = config.samples;
        let drawn = self.sample(config)?.configurations;
        let given = FixedConfigurations::new(self, hamiltonian, samples.saturating_mul(group.order()))?;
        let (mut orbit_of, mut places) = (Vec::with_capacity(samples), HashMap::new());
        let (mut parts, mut pending): (Vec<Parts>, Vec<Orbit>) = (Vec::new(), Vec::new());
        let mut gathered = 0;
        for configuration in &drawn {
            let images: Vec<Vec<u8>> = group.elements().iter().map(|g| g.image(configuration)).collect();
            let least = images.iter().min().cloned().unwrap_or_default();
            let at = *places.entry(least).or_insert(parts.len());
            orbit_of.push(at);
            if at < parts.len() {
                continue;
            }
            parts.push(Vec::new());
            let orbit = orbit(at, images, group.characters());
            gathered += orbit.images.len();
            pending.push(orbit);
            if gathered >= GATHERED * given.chunk {
                project(&given, &mut pending, &mut parts)?;
                gathered = 0;
            }
        }
        project(&given, &mut pending, &mut parts)?;

        let rows: Vec<&Parts> = orbit_of.iter().map(|at| &parts[*at]).collect();
        let weight_in =
            |character: usize| rows.iter().map(|row| square(row[character][0])).sum::<f64>() / samples as f64;
        let weights_in: Vec<f64> = (0..group.characters().len()).map(weight_in).collect();
        // The first one of equal weights, so that ties go to the trivial representation.
        let best = (0..weights_in.len()).rev().max_by(|a, b| weights_in[*a].total_cmp(&weights_in[*b])).unwrap_or(0);
        let rows: Vec<[[f64; 2]; 2]> = rows.into_iter().map(|row| row[best]).collect();
        let chunk = chunk_of(self.model, samples);
        let chains = self.model.chains().map(|chains| chains.chains_of(chunk as u32) as usize);
        let estimate = estimate(&rows, chains.map(|chains| (chunk, chains)));
        let v_score = v_score(&hamiltonian.terms(self.lattice)?, estimate.energy, estimate.variance);
        Ok(ProjectedEstimate { character: best, v_score, ..estimate })
    }
}

/// Orbit of the images of a sample, one for each symmetry.
fn orbit(at: usize, images: Vec<Vec<u8>>, characters: &[Vec<i8>]) -> Orbit {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by(|a, b| images[*a].cmp(&images[*b]));
    let mut orbit = Orbit { at, images: Vec::new(), signs: Vec::new() };
    for equal in order.chunk_by(|a, b| images[*a] == images[*b]) {
        orbit.images.push(images[equal[0]].clone());
        orbit.signs.push(characters.iter().map(|chi| equal.iter().map(|g| i32::from(chi[*g])).sum()).collect());
    }
    orbit
}

/// Evaluates the images of all `pending` orbits and stores their sums in `parts`.
fn project(given: &FixedConfigurations, pending: &mut Vec<Orbit>, parts: &mut [Parts]) -> Result<()> {
    let images: Vec<Vec<u8>> = pending.iter_mut().flat_map(|orbit| orbit.images.drain(..)).collect();
    let mut all = FixedValues { log_p: Vec::new(), phase: Vec::new(), energy: Vec::new() };
    for chunk in images.chunks(given.chunk) {
        let values = given.run(chunk)?;
        all.log_p.extend(values.log_p);
        all.phase.extend(values.phase);
        all.energy.extend(values.energy);
    }
    let finite = all.phase.iter().chain(all.energy.iter().flatten()).all(|value| value.is_finite());
    if !finite || all.log_p.iter().any(|log_p| log_p.is_nan()) {
        return Err(diverged());
    }
    let mut first = 0;
    for orbit in pending.drain(..) {
        let range = first..first + orbit.signs.len();
        first = range.end;
        parts[orbit.at] = sums(&orbit.signs, &all, range);
    }
    Ok(())
}

/// Computes s and t of an orbit from the values of its configurations.
fn sums(signs: &[Vec<i32>], all: &FixedValues, range: std::ops::Range<usize>) -> Parts {
    let top = all.log_p[range.clone()].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut parts = vec![[[0.0; 2]; 2]; signs[0].len()];
    // The number of symmetries that map to a configuration is the same for the whole orbit and divides both sums.
    let mut squares = 0.0;
    for (signs, at) in signs.iter().zip(range.clone()) {
        let size = (0.5 * (all.log_p[at] - top)).exp();
        let psi = [size * all.phase[at].cos(), size * all.phase[at].sin()];
        let [re, im] = all.energy[at];
        let product = [psi[0] * re - psi[1] * im, psi[0] * im + psi[1] * re];
        squares += size * size;
        for (part, &sign) in parts.iter_mut().zip(signs) {
            for (sum, add) in part.iter_mut().zip([psi, product]) {
                sum[0] += f64::from(sign) * add[0];
                sum[1] += f64::from(sign) * add[1];
            }
        }
    }
    let order: i32 = signs.iter().map(|signs| signs[0]).sum();
    let norm = f64::from(order) * (squares / range.len() as f64).sqrt();
    parts.iter_mut().flatten().flatten().for_each(|sum| *sum /= norm);
    parts
}

fn square([re, im]: [f64; 2]) -> f64 {
    re * re + im * im
}

/// Computes estimates from s and t of each sample. `chains` is the chunk size and the number of Markov chains.
fn estimate(rows: &[[[f64; 2]; 2]], chains: Option<(usize, usize)>) -> ProjectedEstimate {
    let count = rows.len() as f64;
    let weights: Vec<f64> = rows.iter().map(|[s, _]| square(*s)).collect();
    let products: Vec<f64> = rows.iter().map(|[s, t]| s[0] * t[0] + s[1] * t[1]).collect();
    let [energy, error] = ratio_of_means(&products, &weights);
    let sum: f64 = weights.iter().sum();
    let deviation = |[s, t]: &[[f64; 2]; 2]| square([t[0] - energy * s[0], t[1] - energy * s[1]]);
    let variance = rows.iter().map(deviation).sum::<f64>() / sum * count / (count - 1.0);
    // Contribution of each sample to the deviation of the energy. Its autocorrelation is that of the error.
    let shares: Vec<f64> = products.iter().zip(&weights).map(|(product, weight)| product - energy * weight).collect();
    let twice_time: f64 = chains.map_or(1.0, |(chunk, chains)| {
        let series = series(&shares, chunk, chains);
        2.0 * autocorrelation_time(&series) * widening(&series).powi(2)
    });
    ProjectedEstimate {
        samples: rows.len(),
        character: 0,
        weight: sum / count,
        energy,
        energy_error: error * twice_time.sqrt(),
        variance,
        v_score: f64::NAN,
        effective_samples: sum * sum / weights.iter().map(|w| w * w).sum::<f64>() / twice_time,
    }
}
