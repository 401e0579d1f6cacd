//! Printing of MCMC diagnostics.

use ketformer::vmc::{ChainReport, FROZEN, MIXED};
use serde_json::{Value, json};

use super::number::significant;
use crate::cli::output;

/// Prints the diagnostics of the chains of an estimate.
pub fn show(report: &ChainReport) {
    output::line(format!(
        "chains {}  acceptance {:.4}  autocorrelation time {:.2} samples  effective samples {:.0}",
        report.chains, report.acceptance, report.autocorrelation, report.effective_samples
    ));
    let r_hat = report.r_hat.map_or("needs 4 samples of each chain".into(), |r_hat| format!("{r_hat:.3}"));
    let (error, block) = (significant(report.blocking_error, 2), report.block);
    output::line(format!("error by blocking {error} (blocks of {block})  split R-hat {r_hat}"));
}

/// Warns if chains are frozen or disagree.
pub fn warn(report: &ChainReport) {
    if report.frozen > 0 {
        let (frozen, all, part) = (report.frozen, report.chains, 100.0 * FROZEN);
        output::warning(&format!(
            "{frozen} of {all} Markov chains accept less than {part} % of their proposals: they are frozen, which the \
             error bar does not include; give a longer burn_in= and more sweeps= if the run has them, or train again \
             with a smaller lr="
        ));
    }
    if let Some(r_hat) = report.r_hat.filter(|r_hat| *r_hat > MIXED) {
        output::warning(&format!(
            "the Markov chains or their halves disagree (split R-hat {r_hat:.3}, above {MIXED}): they have not \
             equilibrated, or are too short to show it; give more samples=, and if the run has them a longer burn_in= \
             and more sweeps="
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
