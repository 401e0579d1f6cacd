//! Final energy of a run: the mean over its last steps.

use std::collections::VecDeque;

use crate::vmc::{NEEDED_LENGTH, StepReport, autocorrelation_time};

/// Number of steps in the mean of the final energy.
pub const RECENT_STEPS: usize = 50;

/// The last [`RECENT_STEPS`] steps that were not rejected.
#[derive(Debug, Clone, Default)]
pub struct EnergySummary {
    reports: VecDeque<StepReport>,
}

/// Final energy of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Mean of the energies of the steps, for the whole lattice.
    pub energy: f64,
    /// Standard error of that mean: the larger of two estimates. The first is the spread of the energies of the steps,
    /// `s/√n` with `s² = Σ (E_i − Ē)²/(n − 1)`, which includes the drift of the weights. The second combines the
    /// standard errors of the steps, `√(Σ ε_i²)/n`. Markov chains continue from step to step: with them, the error is
    /// multiplied by `√(2τ)` with the autocorrelation time `τ` of the energies of the steps, and for fewer than 4 steps,
    /// which do not show `τ`, it is the standard deviation of a single local energy or more.
    pub energy_error: f64,
    /// Mean of the steps' variances of the local energy.
    pub variance: f64,
    /// Mean acceptance of the steps, if their samples come from Markov chains.
    pub acceptance: Option<f64>,
    /// `n`, the number of steps.
    pub steps: usize,
}

impl EnergySummary {
    /// Adds the next step; a rejected one is skipped.
    pub fn push(&mut self, report: &StepReport) {
        if !report.accepted {
            return;
        }
        if self.reports.len() == RECENT_STEPS {
            self.reports.pop_front();
        }
        self.reports.push_back(report.clone());
    }

    /// Mean and error; `None` before the first step that was not rejected.
    pub fn summary(&self) -> Option<Summary> {
        let steps = self.reports.len();
        if steps == 0 {
            return None;
        }
        let n = steps as f64;
        let energy = self.reports.iter().map(|report| report.energy).sum::<f64>() / n;
        let own = self.reports.iter().map(|report| report.energy_error.powi(2)).sum::<f64>().sqrt() / n;
        let squares: f64 = self.reports.iter().map(|report| (report.energy - energy).powi(2)).sum();
        let spread = if steps > 1 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        let variance = self.reports.iter().map(|report| report.variance).sum::<f64>() / n;
        let acceptances: Option<Vec<f64>> = self.reports.iter().map(|report| report.acceptance).collect();
        let acceptance = acceptances.map(|all| all.iter().sum::<f64>() / n);
        let error = spread.max(own);
        let energy_error = match acceptance {
            None => error,
            Some(_) if steps < NEEDED_LENGTH => error.max(variance.sqrt()),
            Some(_) => {
                let energies = self.reports.iter().map(|report| report.energy).collect();
                error * (2.0 * autocorrelation_time(&[energies])).sqrt()
            }
        };
        Some(Summary { energy, energy_error, variance, acceptance, steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64, energy: f64, energy_error: f64) -> StepReport {
        StepReport {
            step,
            energy,
            energy_error,
            variance: 2.0 * energy_error,
            unique: 1,
            accepted: true,
            ..StepReport::default()
        }
    }

    #[test]
    fn the_mean_is_over_the_last_steps_that_were_taken() {
        let mut recent = EnergySummary::default();
        assert_eq!(recent.summary(), None);
        for step in 0..100 {
            recent.push(&report(step, if step < 50 { 1e9 } else { -7.0 }, 0.5));
            recent.push(&StepReport { accepted: false, ..report(step, f64::NAN, f64::NAN) });
        }
        let summary = recent.summary().unwrap();
        assert_eq!((summary.energy, summary.variance, summary.steps), (-7.0, 1.0, 50));
        assert!((summary.energy_error - 0.5 / 50f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_larger_error_is_given() {
        let mut recent = EnergySummary::default();
        recent.push(&report(1, 1.0, 0.25));
        assert_eq!(recent.summary().unwrap().energy_error, 0.25);
        recent.push(&report(2, 3.0, 0.25));
        // s² = 2, so s/√2 = 1, against 0.25/√2.
        assert!((recent.summary().unwrap().energy_error - 1.0).abs() < 1e-12);
    }

    #[test]
    fn markov_chains_widen_the_error() {
        let of = |count: u32, energy: fn(f64) -> f64| {
            let mut recent = EnergySummary::default();
            for step in 0..count {
                let report = report(step.into(), energy(step.into()), 0.25);
                recent.push(&StepReport { acceptance: Some(0.5), variance: 16.0, ..report });
            }
            recent.summary().unwrap().energy_error
        };
        assert_eq!([of(1, |_| 1.0), of(3, |_| 1.0)], [4.0; 2], "the spread of one sample");
        assert!((of(50, |_| 1.0) - 0.25 / 50f64.sqrt()).abs() < 1e-12);
        // Energies that alternate are not correlated, slow waves are.
        let [fast, slow] = [of(50, |step| (3.0 * step).sin()), of(50, |step| (0.2 * step).sin())];
        assert!(slow > 1.5 * fast, "{fast} {slow}");
    }
}
