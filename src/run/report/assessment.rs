//! One sentence on the quality of a run and what to try next.

use super::markup::shown;
use crate::run::relative_error;
use crate::vmc::{NEEDED_LENGTH, StepReport};

/// Relative error up to which an energy counts as accurate, and V-score up to which it does if the exact energy is
/// unknown. In a mixture of the ground state and one excited state the relative error is the V-score times the ratio of
/// the energy per site to the excitation energy, which is of order 1.
const ACCURATE: f64 = 1e-3;

/// Decrease of the energy, relative to its magnitude, from which it counts as falling.
const DECREASE: f64 = 0.1 * ACCURATE;

/// Number of standard errors by which this decrease must exceed 0.
const SIGNIFICANT: f64 = 3.0;

/// Minimum and maximum number of last steps in which a trend is sought.
const TREND_STEPS: [usize; 2] = [8, 200];

/// Results that an assessment needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Results {
    /// Energy of fresh samples of the final weights, for the whole lattice.
    pub energy: f64,
    /// Its standard error.
    pub energy_error: f64,
    /// Exact energy of the whole lattice, if it is known.
    pub exact: Option<f64>,
    /// N · variance / (energy − E_∞)²; infinite if the energy equals E_∞, the mean over all configurations.
    pub v_score: f64,
    /// Trend of the energy at the end of training.
    pub trend: Trend,
    /// Whether the Markov chains agree, if there are any.
    pub chains: Chains,
    /// Whether all samples are one configuration that is not an eigenstate.
    pub collapsed: bool,
}

/// Agreement of Markov chains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Chains {
    /// They agree, or samples are independent.
    Mixed,
    /// They have this split R̂.
    Disagree(f64),
    /// They are too short to show it; this number of samples would.
    Short(usize),
}

/// Trend of the energy in the last steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trend {
    /// It fell over this number of steps.
    Falling(usize),
    /// It did not fall.
    Level,
    /// There are too few steps.
    Unknown,
}

impl Trend {
    /// Trend over the second half of the run, at most 200 steps: it falls if the mean of the second half of these steps
    /// is below that of the first half by [`DECREASE`] and by [`SIGNIFICANT`] standard errors.
    pub(super) fn new(steps: &[StepReport]) -> Self {
        let taken = steps.iter().filter(|step| step.accepted && step.energy.is_finite());
        let energies: Vec<f64> = taken.map(|step| step.energy).collect();
        let [fewest, most] = TREND_STEPS;
        let count = (energies.len() / 2).min(most);
        if count < fewest {
            return Self::Unknown;
        }
        let (first, second) = energies[energies.len() - count..].split_at(count / 2);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (before, after) = (mean(first), mean(second));
        let squared_error = |values: &[f64], mean: f64| {
            let n = values.len() as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        let error = (squared_error(first, before) + squared_error(second, after)).sqrt();
        let threshold = (SIGNIFICANT * error).max(DECREASE * after.abs());
        if before - after > threshold { Self::Falling(count) } else { Self::Level }
    }
}

/// Quality of the run and what to try next, in one sentence.
pub(super) fn assessment(results: &Results) -> String {
    if results.collapsed {
        return "All samples are the same configuration, which is not an eigenstate, so that neither the error nor the \
                variance can be estimated, and the wave function has probably collapsed: train again with annealing \
                (temperature=2), more samples (K=) or a smaller learning rate (lr=)."
            .into();
    }
    let (quality, accurate) = quality(results);
    let advice = match (results.chains, results.trend) {
        (Chains::Short(samples), _) => format!(
            "but the Markov chains have fewer than {NEEDED_LENGTH} samples each, which do not show whether they agree: \
             first give samples={samples}"
        ),
        (Chains::Disagree(r_hat), _) => format!(
            "but the Markov chains disagree (split R̂ {}): first give more sweeps (sweeps=) and a longer burn-in (burn_in=)",
            shown(r_hat, 3)
        ),
        (Chains::Mixed, Trend::Falling(steps)) => {
            format!("and it was still falling in the last {steps} steps: resume the run with more steps (steps=)")
        }
        (Chains::Mixed, Trend::Unknown) => {
            "and the run is too short to show a trend: resume it with more steps (steps=)".into()
        }
        (Chains::Mixed, Trend::Level) if accurate => "and it no longer falls, so that the run needs no change".into(),
        (Chains::Mixed, Trend::Level) => {
            "and it no longer falls: try more samples (K=), a larger width (Nh=) or a smaller learning rate (lr=)"
                .into()
        }
    };
    format!("{quality}, {advice}.")
}

/// Main clause on the quality, and whether the energy is accurate.
fn quality(results: &Results) -> (String, bool) {
    let Results { energy, energy_error, exact, v_score, .. } = *results;
    if let Some(exact) = exact.filter(|exact| energy.is_finite() && exact.is_finite() && *exact != 0.0) {
        let (error, uncertainty) = (relative_error(energy, exact), energy_error / exact.abs());
        let percent = |part: f64| format!("{} %", shown(100.0 * part, 2));
        if error <= 2.0 * uncertainty {
            let text =
                format!("The energy agrees with the exact one within twice its error of {}", percent(uncertainty));
            return (text, uncertainty <= ACCURATE);
        }
        let side = if energy < exact { "below" } else { "above" };
        return (format!("The energy is {} {side} the exact one", percent(error)), error <= ACCURATE);
    }
    if v_score.is_infinite() {
        let text = "The energy equals the mean over all configurations, where the V-score is undefined";
        return (text.into(), false);
    }
    if v_score.is_nan() {
        return ("The energy is not finite or has no V-score".into(), false);
    }
    let score = shown(v_score, 2);
    let accurate = v_score <= ACCURATE;
    let word = if accurate { "small" } else { "large" };
    (format!("The energy has a {word} V-score, {score} (its relative error is usually of that order)"), accurate)
}

#[cfg(test)]
mod tests {
    use super::super::samples::square;
    use super::*;

    const GOOD: Results = Results {
        energy: -7.2500,
        energy_error: 0.0010,
        exact: Some(-7.2546),
        v_score: 3e-4,
        trend: Trend::Level,
        chains: Chains::Mixed,
        collapsed: false,
    };

    #[test]
    fn an_exact_energy_decides_the_quality() {
        let of = |energy: f64| assessment(&Results { energy, ..GOOD });
        assert_eq!(
            of(-7.2500),
            "The energy is 0.063 % above the exact one, and it no longer falls, so that the run needs no change."
        );
        assert_eq!(
            of(-7.2),
            "The energy is 0.75 % above the exact one, and it no longer falls: try more samples (K=), a larger width \
             (Nh=) or a smaller learning rate (lr=)."
        );
        assert!(of(-7.4).starts_with("The energy is 2.0 % below the exact one, "), "{}", of(-7.4));
        assert_eq!(
            of(-7.2540),
            "The energy agrees with the exact one within twice its error of 0.014 %, and it no longer falls, so that \
             the run needs no change."
        );
        // An error bar that hides the difference says nothing about the accuracy.
        let noisy = assessment(&Results { energy: -7.2, energy_error: 0.1, ..GOOD });
        assert!(noisy.contains("within twice its error of 1.4 %") && noisy.contains("more samples (K=)"), "{noisy}");
    }

    #[test]
    fn the_v_score_is_used_where_no_exact_energy_is_known() {
        for exact in [None, Some(f64::NAN), Some(0.0)] {
            let good = assessment(&Results { exact, ..GOOD });
            assert!(good.starts_with("The energy has a small V-score, 0.00030 ") && good.contains("no change"));
            let bad = assessment(&Results { exact, v_score: 0.02, ..GOOD });
            assert!(bad.starts_with("The energy has a large V-score, 0.020 ") && bad.contains("Nh="), "{bad}");
        }
        let none = assessment(&Results { exact: None, v_score: f64::INFINITY, ..GOOD });
        assert!(none.starts_with("The energy equals the mean over all configurations, "), "{none}");
        let none = assessment(&Results { energy: f64::NAN, v_score: f64::NAN, ..GOOD });
        assert!(none.starts_with("The energy is not finite or has no V-score, "), "{none}");
    }

    #[test]
    fn a_collapse_comes_first() {
        let text = assessment(&Results { collapsed: true, energy_error: f64::NAN, v_score: f64::NAN, ..GOOD });
        assert!(text.starts_with("All samples are the same configuration") && text.contains("temperature=2"), "{text}");
    }

    #[test]
    fn chains_that_disagree_come_before_a_falling_energy() {
        let of = |chains, trend| assessment(&Results { chains, trend, ..GOOD });
        let falling = Trend::Falling(200);
        assert!(of(Chains::Disagree(1.2), falling).ends_with(
            ", but the Markov chains disagree (split R̂ 1.20): first give more sweeps (sweeps=) and a longer burn-in (burn_in=)."
        ));
        assert!(of(Chains::Short(4096), falling).ends_with("whether they agree: first give samples=4096."));
        let resumed = ", and it was still falling in the last 200 steps: resume the run with more steps (steps=).";
        assert!(of(Chains::Mixed, falling).ends_with(resumed));
        assert!(
            of(Chains::Mixed, Trend::Unknown)
                .ends_with("too short to show a trend: resume it with more steps (steps=).")
        );
    }

    #[test]
    fn a_trend_exceeds_the_noise() {
        let run = |energy: &dyn Fn(f64) -> f64, count: usize| {
            let steps = square(4).steps;
            let step = |at: usize| StepReport { energy: energy(at as f64), ..steps[0].clone() };
            Trend::new(&(0..count).map(step).collect::<Vec<_>>())
        };
        let noise = |at: f64| 0.01 * (at * 12.9898).sin();
        assert_eq!(run(&|at| -7.0 - 0.001 * at + noise(at), 600), Trend::Falling(200));
        assert_eq!(run(&|at| -7.0 - 0.01 * at + noise(at), 40), Trend::Falling(20));
        assert_eq!(run(&|at| -7.0 + noise(at), 600), Trend::Level);
        assert_eq!(run(&|at| -7.0 + 0.001 * at + noise(at), 600), Trend::Level);
        // Significant, but less than 10⁻⁴ of the energy.
        assert_eq!(run(&|at| -7.0 - 1e-7 * at, 600), Trend::Level);
        assert_eq!(run(&|at| -7.0 - at, 15), Trend::Unknown);
        // Rejected steps have no energy.
        let mut steps = square(4).steps;
        steps.iter_mut().for_each(|step| step.accepted = false);
        assert_eq!(Trend::new(&steps), Trend::Unknown);
    }
}
