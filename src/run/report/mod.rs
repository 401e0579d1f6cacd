//! The report of a run: one HTML page that needs nothing else, neither a network nor the run folder beside it.
//!
//! Each file here makes one part of the page from a [`Report`]; `page.css` and `page.js` are put into the page as they are.
//! All pictures are there without JavaScript too, which lets a reader choose the site or patch that they are about.

mod attention;
mod correlation;
mod heat_map;
mod markup;
mod patches;
mod pixels;
mod places;
#[cfg(test)]
mod samples;
mod scale;
mod settings;
mod sites;
mod structure_factor;
mod summary;
mod time;
mod training;

use std::path::Path;

use self::markup::escaped;
use super::{RunSettings, WRITER};
use crate::error::{Error, ErrorKind, Result};
use crate::physics::Lattice;
use crate::picture::Fault;
use crate::vmc::{AttentionMaps, Estimate, PartTime, StepReport};
use crate::whole_file;

/// What the page of a run shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run, such as "ptf patch=2x2, rydberg, 4x4".
    pub title: String,
    /// Command, adapter, seed, groups and resumptions of the run.
    pub settings: RunSettings,
    /// The rows of `metrics.csv`; may be empty.
    pub steps: Vec<StepReport>,
    /// The lattice.
    pub lattice: Lattice,
    /// Whether the Hamiltonian closes its sides, so that distances are measured around them.
    pub periodic: bool,
    /// The exact energy of the whole lattice, where it is known.
    pub exact: Option<f64>,
    /// Energy and observables of fresh samples.
    pub estimate: Estimate,
    /// Some sampled configurations, 0 or 1 for each site, in the order of the sites.
    pub snapshots: Vec<Vec<u8>>,
    /// Where the wave function looks; `None` for one without attention.
    pub attention: Option<AttentionMaps>,
    /// The time of each part of a step, in order; may be empty.
    pub parts: Vec<PartTime>,
}

/// A part of the page: its anchor, its heading and what is under it.
type Section = (&'static str, &'static str, String);

impl Report {
    /// The page.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if a picture cannot be drawn.
    pub fn html(&self) -> Result<String> {
        self.page().map_err(|cause| {
            let text = format!("report: cannot draw {}: {cause}; metrics.csv has the numbers", self.title);
            Error::new(ErrorKind::File, text)
        })
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// As [`Self::html`]; [`ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        whole_file::write(path, self.html()?.as_bytes(), WRITER)
    }

    fn page(&self) -> std::result::Result<String, Fault> {
        let sections: [Section; 6] = [
            ("training", "Training", training::section(self)?),
            ("lattice", "Densities and samples", sites::section(self)?),
            ("correlations", "Correlations", correlation::section(self)?),
            ("attention", "Attention", attention::section(self)?),
            ("observables", "Observables", summary::observables(self)),
            ("settings", "Settings", settings::section(&self.settings)),
        ];
        let links: String =
            sections.iter().map(|(anchor, heading, _)| format!("<a href=\"#{anchor}\">{heading}</a>\n")).collect();
        let body: String = sections
            .iter()
            .map(|(anchor, heading, inside)| {
                let label = format!("{anchor}-heading");
                format!(
                    "<section id=\"{anchor}\" aria-labelledby=\"{label}\">\n<h2 id=\"{label}\">{heading}</h2>\n{inside}</section>\n"
                )
            })
            .collect();
        let (title, style, script) = (escaped(&self.title), include_str!("page.css"), include_str!("page.js"));
        let (head, data) = (summary::head(self), correlation::data(self));
        // Nothing is fetched, and nothing that the page holds may fetch anything.
        let policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} – ketformer</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
             {head}<nav aria-label=\"Parts of the page\">\n{links}</nav>\n<main>\n{body}</main>\n\
             <script type=\"application/json\" id=\"correlation-data\">{data}</script>\n\
             <script>\n{script}</script>\n</body>\n</html>\n"
        ))
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
