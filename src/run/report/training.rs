//! What the steps of the run report, against the step: energies, variances, learning rates, times; and where the time goes.

use super::Report;
use super::markup::{escaped, figure};
use super::time;
use crate::picture::Fault;
use crate::run::relative_error;
use crate::run::series::{Look, Series, Vertical};
use crate::vmc::StepReport;

/// Points of a chart: on a telephone its letters are then still readable.
pub const SIZE: (u32, u32) = (440, 300);
pub const LETTERS: u32 = 17;

/// A chart: what is drawn of a step, its axis, and what the caption says it is.
struct Chart<'a> {
    of: &'a dyn Fn(&StepReport) -> f64,
    name: &'a str,
    vertical: Vertical,
    /// Whether the samples make it noisy.
    noisy: bool,
    exact: Option<f64>,
    caption: &'a str,
}

pub fn section(report: &Report) -> Result<String, Fault> {
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
        caption: "Energy per site.",
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
    charts.extend([
        Chart {
            of: &|step| step.variance,
            name: "variance",
            vertical: Vertical::Logarithmic,
            noisy: true,
            caption: "Variance of the local energy, which is 0 for an eigenstate.",
            ..noiseless
        },
        Chart { of: &|step| step.learning_rate, name: "learning rate", caption: "Learning rate.", ..noiseless },
        Chart { of: &|step| step.seconds, name: "seconds", caption: "Wall time of each step.", ..noiseless },
    ]);
    let mut figures = String::new();
    for chart in charts {
        figures += &chart.figure(&report.steps)?;
    }
    figures += &time::bars(&report.parts);
    Ok(format!("<div class=\"figures\">\n{figures}</div>\n"))
}

impl Chart<'_> {
    /// The figure; nothing where no step has such a number.
    fn figure(&self, steps: &[StepReport]) -> Result<String, Fault> {
        let mut series = Series::default();
        for step in steps {
            let number = (self.of)(step);
            series.push(
                step.step,
                if self.vertical == Vertical::Logarithmic && number <= 0.0 { f64::NAN } else { number },
            );
        }
        if series.len() == 0 {
            return Ok(String::new());
        }
        let svg = series.svg(&Look {
            size: SIZE,
            letters: LETTERS,
            title: "",
            name: self.name,
            exact: self.exact,
            vertical: self.vertical,
            mean: self.noisy,
            legend: false,
            numbers: [5, 5],
        })?;
        let mut caption = self.caption.to_string();
        if self.noisy && series.window() > 1 {
            caption += &format!(" Thin: each step; thick: mean of {} steps", series.window());
            caption += if self.exact.is_some() { "; dashed: exact." } else { "." };
        } else if self.exact.is_some() {
            caption += " Dashed: exact.";
        }
        let label = format!("{} against the step", self.name);
        Ok(figure("chart", &inline(&svg, &label), &caption))
    }
}

/// A picture of its own as a part of a page, which knows what SVG is, with a label for those who do not see it.
pub fn inline(svg: &str, label: &str) -> String {
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
        for text in ["energy per site", "relative error", "variance", "learning rate", "seconds", "dashed: exact"] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("xmlns") && !html.contains("NaN"));
        report.exact = None;
        assert_eq!(section(&report).unwrap().matches("<svg").count(), 4);
        report.steps.truncate(1);
        assert!(section(&report).unwrap().contains("Energy per site.<"));
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
