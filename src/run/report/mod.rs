//! Report of a run: a self-contained HTML page that needs neither a network nor the run folder.
//!
//! Each file in this folder creates one part of the page from a [`Report`]; `page.css`, after the common style of
//! `crate::page`, and `page.js` are included verbatim. All figures also work without JavaScript, which only adds the selection of a site or patch.
//!
//! `ketformer report` fills a [`Report`] from a run folder, new samples, attention maps and the times of the parts of a
//! step. Curves are the plots of `run::plots`, which also draws `energy.svg`; selectors in `page.css` map their few
//! colors to those of the page, light or dark. Matrices are embedded palette PNGs with one pixel per weight, from which
//! the script decodes the weights. A content security policy forbids the page to fetch anything. User input is escaped.
//! `tests/report.rs` opens pages in headless Chromium at two widths, in light and dark mode.

mod assessment;
mod attention;
mod correlation;
mod drawing;
mod gpt;
mod markup;
mod page;
#[cfg(test)]
mod samples;
mod settings;
mod sites;
mod structure_factor;
mod summary;
mod time;
mod training;

use std::path::Path;

pub use self::gpt::{GptPage, NextToken, PromptView};
use self::page::{Section, drawn, page};
use super::{RunSettings, WRITER, WeightsOrigin};
use crate::atomic_write;
use crate::error::Result;
use crate::physics::Lattice;
use crate::plot_style::Fault;
use crate::vmc::{AttentionMaps, Estimate, PartTime, StepReport};

/// Contents of the report page of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Description of the run, such as "ptf patch=2x2, rydberg, 4x4".
    pub title: String,
    /// Command, adapter, seed, groups and resumptions of the run.
    pub settings: RunSettings,
    /// Step of the weights, and state of the run.
    pub origin: WeightsOrigin,
    /// Rows of `metrics.csv`; may be empty.
    pub steps: Vec<StepReport>,
    /// Lattice.
    pub lattice: Lattice,
    /// Exact energy of the whole lattice, if it is known.
    pub exact: Option<f64>,
    /// Energy and observables of fresh samples.
    pub estimate: Estimate,
    /// Some sampled configurations, 0 or 1 for each site, in site order.
    pub snapshots: Vec<Vec<u8>>,
    /// Attention weights; `None` for a wave function without attention.
    pub attention: Option<AttentionMaps>,
    /// Time of each part of a step, in order; may be empty.
    pub parts: Vec<PartTime>,
}

impl Report {
    /// Renders the page.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if a picture cannot be drawn.
    pub fn html(&self) -> Result<String> {
        drawn(&self.title, self.page())
    }

    /// Writes the page atomically.
    ///
    /// # Errors
    /// As [`Self::html`]; [`crate::ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_write::write(path, self.html()?.as_bytes(), WRITER)
    }

    fn page(&self) -> std::result::Result<String, Fault> {
        let observables = sites::figures(self)? + &summary::observables(self) + &correlation::figures(self)?;
        let sections: [Section; 4] = [
            ("training", "Training", training::section(self)?),
            ("observables", "Observables", format!("<div class=\"figures\">\n{observables}</div>\n")),
            ("attention", "Attention", attention::section(self)?),
            ("settings", "Settings", settings::section(&self.settings)),
        ];
        Ok(page(&self.title, &summary::head(self), &sections, &correlation::data(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{chain, square};
    use super::*;

    #[test]
    fn a_page_is_whole_and_asks_for_nothing() {
        for report in [square(4), square(8), chain(12)] {
            let html = report.html().unwrap();
            assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
            assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("src="));
            assert!(!html.contains("NaN") && !html.contains("=\"inf"));
            assert_eq!(html.matches("<figure").count(), html.matches("</figure>").count());
            assert_eq!(html.matches("<figure").count(), html.matches("<figcaption").count());
            assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
            let mut names: Vec<&str> =
                html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "a name was given twice");
        }
    }

    #[test]
    fn what_a_user_typed_stays_text() {
        let attack = "</title><script>alert(1)</script>\"'&";
        let mut report = square(4);
        report.title = attack.into();
        report.settings.command = attack.into();
        report.settings.adapter.name = attack.into();
        report.settings.groups.get_mut("ptf").unwrap().insert(attack.into(), attack.into());
        report.parts[0].name = attack;
        let html = report.html().unwrap();
        assert!(!html.contains("<script>alert") && html.matches("&lt;script&gt;alert(1)").count() >= 6);
    }

    #[test]
    fn what_is_missing_or_not_finite_is_said() {
        let mut report = square(4);
        report.steps.clear();
        report.parts.clear();
        report.snapshots.clear();
        report.attention = None;
        report.exact = None;
        report.estimate.variance = f64::NAN;
        report.estimate.v_score = f64::INFINITY;
        report.estimate.observables.correlation[0][1].value = f64::NAN;
        report.estimate.observables.correlation[1][0].error = f64::INFINITY;
        report.estimate.observables.density_per_site[3].value = f64::NAN;
        report.estimate.observables.structure_factor[2].value = f64::NAN;
        let html = report.html().unwrap();
        for text in ["no record of steps", "no attention", "No sample"] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("NaN") && !html.contains("Relative error"));
        report.estimate.observables.correlation.clear();
        report.estimate.observables.structure_factor.clear();
        assert!(report.html().unwrap().contains("400 sites"));
    }

    #[test]
    fn a_page_of_16x16_sites_with_a_patch_to_each_is_below_four_megabytes() {
        let mut report = square(16);
        report.attention = Some(samples::relative(&report.lattice, 1, 8));
        let html = report.html().unwrap();
        assert!(html.len() < 4 << 20, "{} bytes", html.len());
    }

    #[test]
    fn it_is_written_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        square(4).save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), square(4).html().unwrap());
    }
}
