//! Printing of MCMC diagnostics.

use ketformer::vmc::{ChainReport, FROZEN, MIXED, NEEDED_LENGTH};
use serde_json::{Value, json};

use super::number::significant;
use crate::cli::output;

/// Prints the diagnostics of the chains of an estimate.
pub fn show(report: &ChainReport) {
    let time = match report.autocorrelation {
        time if time.is_finite() => format!("{time:.2} samples"),
        _ => "unknown".into(),
    };
    output::line(format!(
        "chains {}  acceptance {:.4}  autocorrelation time {time}  effective samples {:.0}",
        report.chains, report.acceptance, report.effective_samples
    ));
    let unknown = || format!("unknown: it needs {NEEDED_LENGTH} samples of each chain");
    let r_hat = report.r_hat.map_or_else(unknown, |r_hat| format!("{r_hat:.3}"));
    let (error, block) = (significant(report.blocking_error, 2), report.block);
    output::line(format!("error by blocking {error} (blocks of {block})  split R-hat {r_hat}"));
}

/// Warns if chains are frozen, disagree, drift, or are too short to show whether they do.
pub fn warn(report: &ChainReport) {
    if report.frozen > 0 {
        let (frozen, all, part) = (report.frozen, report.chains, 100.0 * FROZEN);
        output::warning(&format!(
            "{frozen} of {all} Markov chains accept less than {part} % of their proposals: they are frozen, which the \
             error bar does not include; give a longer burn_in= and more sweeps= if the run has them, or train again \
             with a smaller lr="
        ));
    }
    match report.r_hat {
        None => output::warning(&format!(
            "fewer than {NEEDED_LENGTH} samples for each of {} Markov chains: no split R-hat, so that nothing shows \
             whether they have equilibrated, and all error bars are those of a single sample; give {} samples or more",
            report.chains, report.needed_samples
        )),
        Some(r_hat) if r_hat > MIXED => output::warning(&format!(
            "the Markov chains or their halves disagree (split R-hat {r_hat:.3}, above {MIXED}): they have not \
             equilibrated, or are too short to show it; give more samples=, and if the run has them a longer burn_in= \
             and more sweeps="
        )),
        Some(_) => (),
    }
    if report.r_hat.is_some() && report.widening > 1.0 {
        output::warning(&format!(
            "the energies of the Markov chains drift together from the first to the second half: they have not \
             equilibrated, and all error bars are {:.1} times as large for it; give more samples=, and if the run has \
             them a longer burn_in= and more sweeps=",
            report.widening
        ));
    }
}

/// Warns that a run of Markov chains of `steps` steps is too short for an error bar.
pub fn warn_if_short(steps: usize) {
    if steps < NEEDED_LENGTH {
        output::warning(&format!(
            "the energy is the mean of {steps} steps, fewer than the {NEEDED_LENGTH} that show whether the Markov \
             chains have equilibrated, and its error bar is that of a single sample; give more steps="
        ));
    }
}

/// Returns the diagnostics as JSON.
pub fn json(report: &ChainReport) -> Value {
    json!({
        "chains": report.chains,
        "acceptance": report.acceptance,
        "frozen": report.frozen,
        "autocorrelation_time": report.autocorrelation,
        "effective_samples": report.effective_samples,
        "widening": report.widening,
        "is_judged": report.r_hat.is_some(),
        "blocking_error": report.blocking_error,
        "r_hat": report.r_hat,
    })
}

/// Warns if the chains are frozen. The warning suggests `remedy`.
pub fn warn_if_frozen(acceptance: f64, remedy: &str) {
    if acceptance < FROZEN {
        output::warning(&format!(
            "the Markov chains accept {:.2} % of their proposals: they are frozen, and the energy is only that of \
             their current configurations; give {remedy}, or more sweeps=",
            100.0 * acceptance
        ));
    }
}
