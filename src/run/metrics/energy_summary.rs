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
    /// which do not show `τ`, it is the standard deviation of a single local energy or more. NaN if it is unknown in
    /// every step, because all samples of each are one configuration.
    pub energy_error: f64,
    /// Mean of the steps' variances of the local energy.
    pub variance: f64,
    /// Number of samples that differ from the first configuration of their step, without repetitions.
    pub others: u64,
    /// Largest part that one step has in the sum of the variances of the second half of the steps; 0 if there are too
    /// few of them.
    pub largest_part: f64,
    /// Mean acceptance of the steps, if their samples come from Markov chains.
    pub acceptance: Option<f64>,
    /// `n`, the number of steps.
    pub steps: usize,
}

/// Number of other samples below which the energy rests on single events.
const SINGLE_EVENTS: u64 = 10;

/// Minimum number of steps for statements about the distribution of samples over steps.
const ENOUGH_STEPS: usize = 10;

impl Summary {
    /// Whether nearly all samples of enough steps are the same configurations.
    pub fn is_nearly_collapsed(&self) -> bool {
        self.steps >= ENOUGH_STEPS && self.others < SINGLE_EVENTS
    }

    /// Whether a single step has most of the variance of the local energy.
    pub fn is_heavy_tailed(&self) -> bool {
        self.largest_part > 0.5
    }
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

    /// Largest part of one step in the variances of the second half of the steps. Its first step does not count, since
    /// the variance of a run that converges fast decreases from step to step.
    fn largest_part(&self) -> f64 {
        let second = self.reports.iter().skip(self.reports.len() / 2).map(|report| report.variance);
        let variances: Vec<f64> = second.filter(|variance| variance.is_finite()).collect();
        let sum: f64 = variances.iter().sum();
        let largest = variances.iter().skip(1).fold(0.0, |largest: f64, variance| largest.max(*variance));
        if variances.len() < ENOUGH_STEPS || sum == 0.0 { 0.0 } else { largest / sum }
    }

    /// Mean and error; `None` before the first step that was not rejected.
    pub fn summary(&self) -> Option<Summary> {
        let steps = self.reports.len();
        if steps == 0 {
            return None;
        }
        let n = steps as f64;
        let energy = self.reports.iter().map(|report| report.energy).sum::<f64>() / n;
        let known = || self.reports.iter().filter(|report| !report.energy_error.is_nan());
        let own = known().map(|report| report.energy_error.powi(2)).sum::<f64>().sqrt() / n;
        let squares: f64 = self.reports.iter().map(|report| (report.energy - energy).powi(2)).sum();
        let spread = if steps > 1 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        let steps_known = known().count();
        let variance = known().map(|report| report.variance).sum::<f64>() / steps_known as f64;
        let acceptances: Option<Vec<f64>> = self.reports.iter().map(|report| report.acceptance).collect();
        let acceptance = acceptances.map(|all| all.iter().sum::<f64>() / n);
        let error = if steps_known == 0 { f64::NAN } else { spread.max(own) };
        let energy_error = match acceptance {
            None => error,
            Some(_) if steps < NEEDED_LENGTH && steps_known > 0 => error.max(variance.sqrt()),
            Some(_) => {
                let energies = self.reports.iter().map(|report| report.energy).collect();
                error * (2.0 * autocorrelation_time(&[energies])).sqrt()
            }
        };
        let others = self.reports.iter().map(|report| u64::from(report.unique.saturating_sub(1))).sum();
        let largest_part = self.largest_part();
        Some(Summary { energy, energy_error, variance, others, largest_part, acceptance, steps })
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

    #[test]
    fn steps_of_one_configuration_have_no_error() {
        let mut recent = EnergySummary::default();
        let one = |step| StepReport { variance: f64::NAN, ..report(step, -3.0 - step as f64 * 1e-3, f64::NAN) };
        (0..20).for_each(|step| recent.push(&one(step)));
        let summary = recent.summary().unwrap();
        assert!(summary.energy_error.is_nan() && summary.variance.is_nan() && summary.is_nearly_collapsed());
        // The spread of the energies of other steps is known again.
        recent.push(&StepReport { unique: 30, ..report(20, -3.0, 0.5) });
        let summary = recent.summary().unwrap();
        assert!(summary.energy_error >= 0.5 / 21.0 && summary.variance == 1.0 && !summary.is_nearly_collapsed());
        assert_eq!(summary.others, 29);
    }

    #[test]
    fn a_step_that_dominates_the_variance_is_a_heavy_tail() {
        let of = |variance: &dyn Fn(u64) -> f64| {
            let mut recent = EnergySummary::default();
            (0..50).for_each(|step| recent.push(&StepReport { variance: variance(step), ..report(step, 1.0, 0.1) }));
            recent.summary().unwrap().is_heavy_tailed()
        };
        assert!(!of(&|step| 1.0 + (step % 7) as f64));
        assert!(of(&|step| if step == 40 { 4000.0 } else { 1.0 }));
        assert!(!of(&|step| 0.3f64.powi(step as i32)), "a decrease is not a tail");
        assert!(!of(&|_| 0.0));
    }
}
