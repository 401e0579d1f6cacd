//! Training curves: energies, variances, learning rates and times against the step, and the time of the parts of a
//! step.

use super::Report;
use super::markup::{escaped, figure};
use super::time;
use crate::plot_style::Fault;
use crate::run::plots::{Series, SeriesStyle, Vertical};
use crate::run::{TrainingReport, relative_error};
use crate::vmc::StepReport;

/// Size of a chart in points: the labels are still readable on a phone.
pub(super) const SIZE: (u32, u32) = (440, 245);
pub(super) const LETTERS: u32 = 17;

/// Chart: quantity, axis and caption.
pub(super) struct Chart<'a, R> {
    pub of: &'a dyn Fn(&R) -> f64,
    pub name: &'a str,
    pub vertical: Vertical,
    /// Whether the quantity has sampling noise.
    pub noisy: bool,
    pub exact: Option<f64>,
    pub caption: &'a str,
}

pub(super) fn section(report: &Report) -> Result<String, Fault> {
    if report.steps.is_empty() {
        return Ok(format!("<p>There is no record of steps.</p>\n{}", time::bars(&report.parts)));
    }
    let sites = report.lattice.sites() as f64;
    let exact = report.exact.filter(|exact| exact.is_finite() && *exact != 0.0);
    let per_site = |step: &StepReport| step.energy / sites;
    let mut charts = vec![Chart {
        of: &per_site,
        name: "energy per site",
        vertical: Vertical::Close,
        noisy: true,
        exact: exact.map(|exact| exact / sites),
        caption: "Energy per site of the samples of each step.",
    }];
    let relative = |step: &StepReport| exact.map_or(f64::NAN, |exact| relative_error(step.energy, exact));
    if exact.is_some() {
        charts.push(Chart {
            of: &relative,
            name: "relative error",
            vertical: Vertical::Logarithmic,
            noisy: true,
            exact: None,
            caption: "Relative error |E − E<sub>exact</sub>| / |E<sub>exact</sub>| of the energy.",
        });
    }
    let noiseless =
        Chart { of: &|_| 0.0, name: "", vertical: Vertical::FromZero, noisy: false, exact: None, caption: "" };
    let others: [Chart<'_, StepReport>; 3] = [
        Chart {
            of: &|step| step.variance,
            name: "variance",
            vertical: Vertical::Logarithmic,
            noisy: true,
            caption: "Variance of the local energy (0 for an eigenstate).",
            ..noiseless
        },
        Chart { of: &|step| step.learning_rate, name: "learning rate", caption: "Learning rate.", ..noiseless },
        Chart { of: &|step| step.seconds, name: "seconds", caption: "Wall time of each step.", ..noiseless },
    ];
    charts.extend(others);
    let mut series = Series::default();
    report.steps.iter().for_each(|step| series.push(step.step, step.energy));
    let introduction = match (series.window(), exact) {
        (1, _) => String::new(),
        (window, None) => format!("<p>Thin lines: each step. Thick lines: means over {window} steps.</p>\n"),
        (window, Some(_)) => {
            format!("<p>Thin lines: each step. Thick lines: means over {window} steps. Dashed line: exact.</p>\n")
        }
    };
    let mut figures = String::new();
    for chart in charts {
        figures += &chart.figure(&report.steps)?;
    }
    figures += &time::bars(&report.parts);
    Ok(format!("{introduction}<div class=\"figures\">\n{figures}</div>\n"))
}

impl<R: TrainingReport> Chart<'_, R> {
    /// Draws the figure; empty if no step has such a value.
    pub(super) fn figure(&self, steps: &[R]) -> Result<String, Fault> {
        let mut series = Series::default();
        for step in steps {
            let number = (self.of)(step);
            series.push(
                step.step(),
                if self.vertical == Vertical::Logarithmic && number <= 0.0 { f64::NAN } else { number },
            );
        }
        if series.len() == 0 {
            return Ok(String::new());
        }
        let style = SeriesStyle {
            size: SIZE,
            letters: LETTERS,
            title: "",
            name: self.name,
            exact: self.exact,
            other: None,
            vertical: self.vertical,
            mean: self.noisy,
            legend: false,
            numbers: [5, 5],
        };
        let svg = series.svg(&style)?;
        let mut caption = self.caption.to_string();
        for outside in series.outside(&style) {
            caption += &format!(" {}", outside.sentence());
        }
        let label = format!("{} against the step", self.name);
        Ok(figure("chart", &inline(&svg, &label), &caption))
    }
}

/// Inlines a standalone SVG into the page: removes its namespace and adds a text alternative.
pub(super) fn inline(svg: &str, label: &str) -> String {
    let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escaped(label)), 1)
}

#[cfg(test)]
mod tests {
    use super::super::samples::square;
    use super::*;

    #[test]
    fn a_run_has_its_curves() {
        let mut report = square(4);
        let html = section(&report).unwrap();
        assert_eq!(html.matches("<svg").count(), 5);
        for text in [
            "energy per site",
            "relative error",
            "variance",
            "learning rate",
            "seconds",
            "Dashed line: exact",
            " above the plot, at ",
        ] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("xmlns") && !html.contains("NaN"));
        report.exact = None;
        assert_eq!(section(&report).unwrap().matches("<svg").count(), 4);
        report.steps.truncate(1);
        assert!(section(&report).unwrap().contains("samples of each step.<"));
        report.steps.clear();
        assert!(section(&report).unwrap().contains("no record of steps"));
    }

    #[test]
    fn a_column_without_numbers_has_no_chart() {
        let mut report = square(4);
        report.steps.iter_mut().for_each(|step| step.variance = f64::NAN);
        report.steps[3].energy = f64::INFINITY;
        let html = section(&report).unwrap();
        assert!(html.matches("<svg").count() == 4 && !html.contains("inf,"));
    }
}
