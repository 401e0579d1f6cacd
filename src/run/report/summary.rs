//! Results of the run as numbers: the header of the page, and the table of observables.

use super::Report;
use super::markup::{escaped, shown, table};
use crate::physics::DIAGONAL_OBSERVABLES;
use crate::run::{Measurement, duration, relative_error};

/// Number in the header: name, value and note; all HTML.
type Number = (&'static str, String, String);

pub(super) fn head(report: &Report) -> String {
    let settings = &report.settings;
    let numbers: String = numbers(report)
        .into_iter()
        .map(|(name, number, note)| {
            let note = if note.is_empty() { note } else { format!("<dd class=\"note\">{note}</dd>") };
            format!("<div><dt>{name}</dt><dd>{number}</dd>{note}</div>\n")
        })
        .collect();
    format!(
        "<header>\n<p class=\"kind\">ketformer report</p>\n<h1>{}</h1>\n<p class=\"origin\">{} · seed {} · version {}</p>\n\
         <dl class=\"numbers\">\n{numbers}</dl>\n</header>\n",
        escaped(&report.title),
        escaped(&settings.last_adapter().described()),
        settings.seed,
        escaped(&settings.version),
    )
}

fn numbers(report: &Report) -> Vec<Number> {
    let estimate = &report.estimate;
    let sites = report.lattice.sites() as f64;
    let per_site = Measurement { mean: estimate.energy / sites, error: estimate.energy_error / sites };
    let whole = Measurement { mean: estimate.energy, error: estimate.energy_error };
    let mut numbers: Vec<Number> =
        vec![("Energy per site", measured(per_site), format!("of all {sites} sites {}", measured(whole)))];
    if let Some(exact) = report.exact.filter(|exact| exact.is_finite() && *exact != 0.0) {
        let error = estimate.energy_error / exact.abs();
        let relative = shown(relative_error(estimate.energy, exact), 2);
        let note = format!("± {}; exact per site {:.6}", shown(error, 1), exact / sites).replace('-', "−");
        numbers.push(("Relative error", relative, note));
    }
    numbers.push(("Variance", shown(estimate.variance, 3), "0 for an eigenstate".into()));
    numbers.push(("V-score", shown(estimate.v_score, 2), "to compare across systems".into()));
    numbers.push(("Samples", estimate.samples.to_string(), "of the final weights".into()));
    if let Some(last) = report.steps.last() {
        let seconds: f64 = report.steps.iter().map(|step| step.seconds).filter(|seconds| seconds.is_finite()).sum();
        numbers.push(("Steps", last.step.to_string(), format!("in {}", duration(seconds))));
    }
    numbers.push(("Parameters", report.settings.parameters.to_string(), String::new()));
    numbers
}

/// Tables of the observables and of the Markov chain diagnostics.
pub(super) fn observables(report: &Report) -> String {
    let found = &report.estimate.observables;
    let diagonal = DIAGONAL_OBSERVABLES.iter().zip(&found.diagonal);
    let mut rows: Vec<(&str, String)> = diagonal.map(|(row, mean)| (row.html, measured((*mean).into()))).collect();
    rows.extend(found.sigma_x.map(|mean| ("⟨σˣ⟩ per site", measured(mean.into()))));
    let fluctuation = measured(found.staggered_fluctuation.into());
    rows.push(("Fluctuation <span class=\"formula\">N (⟨m²⟩ − ⟨|m|⟩²)</span>", fluctuation));
    let mut tables = table("measured", "Over all sites", &rows);
    if let Some(chains) = &report.estimate.chains {
        let r_hat = chains.r_hat.map_or("unknown".into(), |r_hat| shown(r_hat, 4));
        tables += &table(
            "measured",
            "Markov chains",
            &[
                ("Chains", chains.chains.to_string()),
                ("Accepted proposals", shown(chains.acceptance, 3)),
                ("Frozen chains", chains.frozen.to_string()),
                ("Autocorrelation time", shown(chains.autocorrelation, 3)),
                ("Independent samples", shown(chains.effective_samples, 4)),
                ("Error by blocking", shown(chains.blocking_error, 2)),
                ("Split R̂", r_hat),
            ],
        );
    }
    format!("<div class=\"tables\">\n{tables}</div>\n")
}

fn measured(number: Measurement) -> String {
    match number.mean.is_finite() {
        true => {
            number.to_string().replace('-', "−").replace("NaN", "unknown").replace(" ± ", " <span>±\u{a0}") + "</span>"
        }
        false => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{made_up, square};
    use super::*;
    use crate::vmc::ChainReport;

    #[test]
    fn the_head_has_the_energy_and_how_far_it_is_from_the_exact_one() {
        let mut report = square(4);
        let html = head(&report);
        for text in ["−0.45", "±", "Relative error", "V-score", "seed 17", "Parameters"] {
            assert!(html.contains(text), "{text}: {html}");
        }
        report.exact = None;
        assert!(!head(&report).contains("Relative error"));
        report.estimate.v_score = f64::NAN;
        assert!(head(&report).contains("unknown"));
    }

    #[test]
    fn markov_chains_have_a_table_where_there_are_any() {
        let mut report = square(4);
        assert!(!observables(&report).contains("Markov"));
        report.estimate.chains = Some(ChainReport { acceptance: 0.42, r_hat: None, ..made_up::chains() });
        let html = observables(&report);
        assert!(html.contains("Markov chains") && html.contains("0.420") && html.contains("unknown"), "{html}");
    }
}
