//! Results of the run as numbers: the header of the page, and the table of observables.

use super::Report;
use super::assessment::{Chains, Results, Trend, assessment};
use super::markup::{escaped, measured, shown, table};
use super::page::{Number, header};
use crate::physics::DIAGONAL_OBSERVABLES;
use crate::run::{EnergySummary, Measurement, duration, relative_error};
use crate::vmc::{ChainReport, MIXED};

pub(super) fn head(report: &Report) -> String {
    header(&report.title, &report.settings, &assessed(report), numbers(report), &of_terminal(report))
}

/// Quality of the run and what to try next.
fn assessed(report: &Report) -> String {
    let estimate = &report.estimate;
    assessment(&Results {
        energy: estimate.energy,
        energy_error: estimate.energy_error,
        exact: report.exact,
        v_score: estimate.v_score,
        trend: Trend::new(&report.steps),
        chains: match &estimate.chains {
            None => Chains::Mixed,
            Some(ChainReport { r_hat: None, needed_samples, .. }) => Chains::Short(*needed_samples),
            Some(ChainReport { r_hat: Some(r_hat), .. }) if *r_hat > MIXED => Chains::Disagree(*r_hat),
            Some(_) => Chains::Mixed,
        },
        collapsed: estimate.concentration.is_collapsed(),
    })
}

/// Difference between the energy and the one that the terminal printed; empty if there is no record of steps.
fn of_terminal(report: &Report) -> String {
    let mut recent = EnergySummary::default();
    report.steps.iter().for_each(|step| recent.push(step));
    let Some(summary) = recent.summary() else { return String::new() };
    let printed = Measurement { mean: summary.energy, error: summary.energy_error };
    let (origin, last) = (&report.origin, report.steps.last().map_or(0, |step| step.step));
    let before = match origin.is_final() {
        true => "At the end of training the terminal printed".to_string(),
        false => format!("After step {last} of training the energy was"),
    };
    format!(
        "<p class=\"kind\">The energy is that of {} new samples of {}. {before} {}, the mean over the last {} steps, during \
         which the weights still changed.</p>\n",
        report.estimate.samples,
        escaped(&origin.described()),
        printed.to_string().replace('-', "−"),
        summary.steps,
    )
}

fn numbers(report: &Report) -> Vec<Number> {
    let estimate = &report.estimate;
    let sites = report.lattice.sites() as f64;
    let per_site = Measurement { mean: estimate.energy / sites, error: estimate.energy_error / sites };
    let whole = Measurement { mean: estimate.energy, error: estimate.energy_error };
    let mut numbers: Vec<Number> =
        vec![("Energy", in_parts(whole), format!("{} per site, {sites} sites", in_parts(per_site)))];
    if let Some(exact) = report.exact.filter(|exact| exact.is_finite() && *exact != 0.0) {
        let error = estimate.energy_error / exact.abs();
        let relative = shown(relative_error(estimate.energy, exact), 2);
        let note = format!("± {}; exact {exact:.5}", shown(error, 1)).replace('-', "−");
        numbers.push(("Relative error", relative, note));
    }
    numbers.push(("Variance", shown(estimate.variance, 3), "0 for an eigenstate".into()));
    let v_score = match estimate.v_score.is_infinite() {
        false => "<span class=\"formula\">N · Var E/(E − E<sub>∞</sub>)²</span>",
        true => "undefined: E equals E<sub>∞</sub>, the mean over all configurations",
    };
    numbers.push(("V-score", shown(estimate.v_score, 2), v_score.into()));
    let origin = escaped(&report.origin.described());
    numbers.push(("Samples", estimate.samples.to_string(), format!("of {origin}")));
    if let Some(last) = report.steps.last() {
        let steps = || report.steps.iter().map(|step| step.seconds).filter(|seconds| seconds.is_finite()).sum();
        let seconds: f64 = report.settings.wall_seconds.unwrap_or_else(steps);
        numbers.push(("Steps", last.step.to_string(), format!("in {}", duration(seconds))));
    }
    numbers.push(("Parameters", report.settings.parameters.to_string(), String::new()));
    numbers
}

/// Tables of the observables and of the Markov chain diagnostics.
pub(super) fn observables(report: &Report) -> String {
    let found = &report.estimate.observables;
    let [row, _] = found.order.rows();
    let others = DIAGONAL_OBSERVABLES.iter().zip(&found.diagonal).enumerate().filter(|(index, _)| *index != row);
    let mut rows: Vec<(&str, String)> =
        others.map(|(_, (other, mean))| (other.html, in_parts((*mean).into()))).collect();
    rows.extend(found.sigma_x.map(|mean| ("⟨σˣ⟩ per site", in_parts(mean.into()))));
    let [size, fluctuation] = found.order_parameter(found.order).map(|mean| in_parts(mean.into()));
    let order = [
        (DIAGONAL_OBSERVABLES[row].html, size),
        ("Fluctuation <span class=\"formula\">N (⟨m²⟩ − ⟨|m|⟩²)</span>", fluctuation),
    ];
    let mut tables = table("measured", "Order parameter of the Hamiltonian", &order);
    tables += &table("measured", "Over all sites", &rows);
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
    format!("<div class=\"card\">\n{tables}</div>\n")
}

/// Number with its error in an element of its own.
pub(super) fn in_parts(number: Measurement) -> String {
    match number.mean.is_finite() {
        true => measured(number).replace(" ± ", " <span>±\u{a0}") + "</span>",
        false => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{made_up, square};
    use super::*;
    use crate::run::{RunState, WeightsOrigin};

    #[test]
    fn the_head_has_the_energy_and_how_far_it_is_from_the_exact_one() {
        let mut report = square(4);
        let html = head(&report);
        for text in [
            "−0.45",
            "±",
            "Relative error",
            "V-score",
            "seed 17",
            "Parameters",
            "in 3m43s",
            "resume the run with more steps",
            "the terminal printed −",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(html.contains("of the final weights"), "{html}");
        for (step, state, said) in [
            (Some(40), RunState::InProgress, "of the weights after step 40 of a run in progress"),
            (Some(0), RunState::InProgress, "of the initial weights of a run in progress"),
            (Some(60), RunState::Unknown, "of the weights after step 60; no end of the run is recorded"),
        ] {
            report.origin = WeightsOrigin { step, state };
            let html = head(&report);
            assert_eq!(html.matches(said).count(), 2, "{html}");
            assert!(!html.contains("final weights") && !html.contains("the terminal"), "{html}");
            assert!(html.contains("After step 60 of training the energy was −"), "{html}");
        }
        report.exact = None;
        assert!(!head(&report).contains("Relative error"));
        report.estimate.v_score = f64::INFINITY;
        assert!(head(&report).contains("unknown") && head(&report).contains("undefined: E equals"));
        report.steps.clear();
        report.settings.wall_seconds = None;
        let html = head(&report);
        assert!(!html.contains("terminal") && !html.contains("Steps"), "{html}");
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
