//! What there is to say of Markov chains.

use ketformer::vmc::{ChainReport, FROZEN};

use super::output;

/// Prints how good the chains of an estimate are, and warns of frozen ones.
pub fn show(report: &ChainReport) {
    output::line(format!(
        "chains {}  acceptance {:.4}  autocorrelation time {:.2} samples  effective samples {:.0}",
        report.chains, report.acceptance, report.autocorrelation, report.effective_samples
    ));
    if report.frozen > 0 {
        let (frozen, all, part) = (report.frozen, report.chains, 100.0 * FROZEN);
        output::warning(&format!(
            "{frozen} of {all} Markov chains accept less than {part} % of their proposals: they stay where they began, and \
             the error bar does not know; give a longer burn_in= and more sweeps= where the run has them, or train anew \
             with a smaller lr="
        ));
    }
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
