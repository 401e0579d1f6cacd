//! `energy.svg`: the energy per site against the step.

use std::path::Path;

use plotters::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::picture::{self, Axis, EXACT, FOUND, Fault};
use crate::whole_file;

use super::WRITER;

const SIZE: (u32, u32) = (800, 500);
const STEPS: RGBColor = RGBColor(140, 182, 222);

/// Points a line is drawn with at most: a longer run is shown by the means of equal parts of it.
const MOST_POINTS: usize = 800;

/// The energies of a run, to be drawn.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    points: Vec<(u64, f64)>,
}

impl Curve {
    /// Takes in the energy per site of a step; one that is not finite is passed over.
    pub fn push(&mut self, step: u64, energy_per_site: f64) {
        if energy_per_site.is_finite() {
            self.points.push((step, energy_per_site));
        }
    }

    /// Draws every step, their moving mean, and `exact`, the exact energy per site, where it is known.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if there is no step to draw or the file cannot be written.
    pub fn draw(&self, path: &Path, title: &str, exact: Option<f64>) -> Result<()> {
        let svg = self.svg(title, exact).map_err(|cause| {
            Error::new(
                ErrorKind::File,
                format!("curve: cannot draw {}: {cause}; metrics.csv has the numbers", path.display()),
            )
        })?;
        whole_file::write(path, svg.as_bytes(), WRITER)
    }

    fn svg(&self, title: &str, exact: Option<f64>) -> std::result::Result<String, Fault> {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return Err("no step was taken".into());
        };
        let window = (self.points.len() / 20).clamp(1, 50);
        let mean = moving_mean(&self.points, window);
        let (bottom, top) = range(&mean, &self.points, exact);
        let clip = |points: Vec<(f64, f64)>| points.into_iter().map(move |(x, y)| (x, y.clamp(bottom, top)));

        let decimals = picture::decimals(bottom, top);
        let (begin, end) = (first.0 as f64, last.0.max(first.0 + 1) as f64);
        let step = Axis { range: begin..end, name: "step", number: &|x| format!("{x:.0}"), numbers: 8 };
        let energy =
            Axis { range: bottom..top, name: "energy per site", number: &|y| format!("{y:.decimals$}"), numbers: 8 };
        picture::svg(SIZE, 1, |panels| {
            picture::chart(&panels[0], title, step, energy, Some(SeriesLabelPosition::UpperRight), |chart| {
                let line = |style: ShapeStyle| move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style);
                chart
                    .draw_series(LineSeries::new(clip(thinned(&self.points)), STEPS.stroke_width(1)))?
                    .label("each step")
                    .legend(line(STEPS.stroke_width(1)));
                if window > 1 {
                    chart
                        .draw_series(LineSeries::new(clip(thinned(&mean)), FOUND.stroke_width(2)))?
                        .label(format!("mean of {window} steps"))
                        .legend(line(FOUND.stroke_width(2)));
                }
                if let Some(exact) = exact.filter(|exact| exact.is_finite()) {
                    let ends = [(begin, exact), (end, exact)];
                    chart
                        .draw_series(DashedLineSeries::new(ends, 7, 5, EXACT.stroke_width(2)))?
                        .label(format!("exact {exact:.5}"))
                        .legend(line(EXACT.stroke_width(2)));
                }
                Ok(())
            })
        })
    }
}

/// The mean of each point and the `window - 1` before it, or as many as there are.
fn moving_mean(points: &[(u64, f64)], window: usize) -> Vec<(u64, f64)> {
    let mean = |end: usize| {
        let part = &points[(end + 1).saturating_sub(window)..=end];
        part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64
    };
    points.iter().enumerate().map(|(end, point)| (point.0, mean(end))).collect()
}

/// At most [`MOST_POINTS`] points: each the mean of an equal part.
fn thinned(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let part = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[(u64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|point| point.0 as f64).sum::<f64>() / n, part.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunks(part).map(mean).collect()
}

/// The energies to show: down to the lowest mean or the exact energy, up to where all but the first twentieth of the
/// steps are below, so that a high start does not flatten the rest.
fn range(mean: &[(u64, f64)], points: &[(u64, f64)], exact: Option<f64>) -> (f64, f64) {
    let mut sorted: Vec<f64> = points.iter().map(|point| point.1).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    let lowest = mean.iter().map(|point| point.1).chain(exact).fold(at(0.01), f64::min);
    let highest = at(0.95).max(exact.unwrap_or(f64::NEG_INFINITY));
    let margin = 0.05 * (highest - lowest).max(1e-9);
    (lowest - margin, highest + margin)
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
        for text in ["each step", "mean of 50 steps", "exact -0.45340", "energy per site", "a &lt;title&gt;"] {
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

    #[test]
    fn means_are_over_the_window() {
        let points = [(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)];
        assert_eq!(moving_mean(&points, 2), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0)]);
    }
}
