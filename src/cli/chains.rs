//! What there is to say of Markov chains.

use ketformer::vmc::{ChainReport, FROZEN, MIXED};
use serde_json::{Value, json};

use super::number::significant;
use super::output;

/// Prints how good the chains of an estimate are.
pub fn show(report: &ChainReport) {
    output::line(format!(
        "chains {}  acceptance {:.4}  autocorrelation time {:.2} samples  effective samples {:.0}",
        report.chains, report.acceptance, report.autocorrelation, report.effective_samples
    ));
    let r_hat = report.r_hat.map_or("needs 4 samples of each chain".into(), |r_hat| format!("{r_hat:.3}"));
    let (error, block) = (significant(report.blocking_error, 2), report.block);
    output::line(format!("error by blocking {error} (blocks of {block})  split R-hat {r_hat}"));
}

/// Warns of chains that are frozen or do not agree.
pub fn warn(report: &ChainReport) {
    if report.frozen > 0 {
        let (frozen, all, part) = (report.frozen, report.chains, 100.0 * FROZEN);
        output::warning(&format!(
            "{frozen} of {all} Markov chains accept less than {part} % of their proposals: they stay where they began, and \
             the error bar does not know; give a longer burn_in= and more sweeps= where the run has them, or train anew \
             with a smaller lr="
        ));
    }
    if let Some(r_hat) = report.r_hat.filter(|r_hat| *r_hat > MIXED) {
        output::warning(&format!(
            "the Markov chains do not agree with each other or with themselves (split R-hat {r_hat:.3}, above {MIXED}): they \
             remember where they began, or are too short to tell; give more samples=, and where the run has them a longer \
             burn_in= and more sweeps="
        ));
    }
}

/// The same as JSON.
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

/// Warns of chains that accept hardly anything, and what `remedy` there is.
pub fn warn_if_frozen(acceptance: f64, remedy: &str) {
    if acceptance < FROZEN {
        output::warning(&format!(
            "the Markov chains accept {:.2} % of their proposals: they are frozen, and the energy is only that of where they \
             stand; give {remedy}, or more sweeps=",
            100.0 * acceptance
        ));
    }
}
