//! `energy.svg`: the energy per site against the step.

use std::path::Path;

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::plot_style::{Fault, LETTERS};

use super::super::WRITER;
use super::series::{Series, SeriesStyle, Vertical};

pub(super) const SIZE: (u32, u32) = (800, 500);

/// Energy curve of a run.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    series: Series,
}

impl Curve {
    /// Adds the energy per site of a step; a value that is not finite is skipped.
    pub fn push(&mut self, step: u64, energy_per_site: f64) {
        self.series.push(step, energy_per_site);
    }

    /// Draws every step, the moving mean, and `exact`, the exact energy per site, if it is known.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if there is no step to draw or the file cannot be written.
    pub fn draw(&self, path: &Path, title: &str, exact: Option<f64>) -> Result<()> {
        write(path, self.svg(title, exact))
    }

    fn svg(&self, title: &str, exact: Option<f64>) -> std::result::Result<String, Fault> {
        self.series.svg(&SeriesStyle {
            size: SIZE,
            letters: LETTERS,
            title,
            name: "energy per site",
            exact,
            other: None,
            vertical: Vertical::Close,
            mean: true,
            legend: true,
            numbers: [8, 8],
        })
    }
}

/// Writes a plot.
///
/// # Errors
/// [`ErrorKind::File`] if it was not drawn or cannot be written.
pub(super) fn write(path: &Path, svg: std::result::Result<String, Fault>) -> Result<()> {
    let svg = svg.map_err(|cause| {
        let text = format!("curve: cannot draw {}: {cause}; metrics.csv has the numbers", path.display());
        Error::new(ErrorKind::File, text)
    })?;
    atomic_write::write(path, svg.as_bytes(), WRITER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(steps: u64) -> Curve {
        let mut curve = Curve::default();
        (1..=steps).for_each(|step| curve.push(step, -0.45 + 0.2 / step as f64));
        curve
    }

    #[test]
    fn a_picture_is_one_svg_with_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("energy.svg");
        curve(1000).draw(&path, "a <title>", Some(-0.4534)).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["each step", "mean of 50 steps", "exact −0.45340", "energy per site", "a &lt;title&gt;"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN"));
        curve(1000).draw(&path, "", None).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("exact"));
    }

    #[test]
    fn long_and_short_runs_are_drawn_and_an_empty_one_is_not() {
        for steps in [1, 2, 50_000] {
            let svg = curve(steps).svg("", None).unwrap();
            assert!(svg.len() < 100_000 && !svg.contains("NaN"), "{steps} steps: {} bytes", svg.len());
        }
        let mut broken = Curve::default();
        broken.push(1, f64::NAN);
        assert!(broken.svg("", None).is_err());
        broken.push(2, -0.5);
        assert!(broken.svg("", Some(-0.5)).is_ok());
    }
}
