//! A picture of scaling: milliseconds per sample against sites, both logarithmic.

use plotters::prelude::*;

use super::ScalingCurve;
use crate::error::{Error, ErrorKind, Result};
use crate::picture::{self, Axis, Fault};

const SIZE: (u32, u32) = (860, 540);
/// Distinguishable to most eyes, and in grey: Okabe and Ito's palette.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(34, 34, 34),
];

/// The curves as an SVG text.
///
/// # Errors
/// [`ErrorKind::Settings`] where there is nothing to draw.
pub fn plot(curves: &[ScalingCurve], title: &str) -> Result<String> {
    draw(curves, title).map_err(|cause| {
        let message =
            format!("bench: the picture cannot be drawn, {cause}; measure `bench scaling` at two sizes or more");
        Error::new(ErrorKind::Settings, message)
    })
}

/// Least and largest of the values, with some room.
fn range(values: impl Iterator<Item = f64> + Clone, room: f64) -> std::ops::Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let largest = values.fold(0.0, f64::max);
    least / room..largest * room
}

fn draw(curves: &[ScalingCurve], title: &str) -> std::result::Result<String, Fault> {
    let points = curves.iter().flat_map(|curve| &curve.points);
    let sites = points.clone().map(|point| point[0]);
    if sites.clone().all(|n| Some(n) == sites.clone().next()) {
        return Err("no two sizes have a time".into());
    }
    let (x, y) = (range(sites.clone(), 1.15), range(points.map(|point| point[1]), 1.6));
    let mut ticks: Vec<f64> = sites.collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();

    let sites = Axis {
        range: x.log_scale().with_key_points(ticks),
        name: "sites N",
        number: &|x| format!("{x:.0}"),
        numbers: 11,
    };
    let cost = Axis { range: y.log_scale(), name: "ms per sample", number: &|y| format!("{y}"), numbers: 11 };
    picture::draw(SIZE, title, sites, cost, SeriesLabelPosition::UpperLeft, |chart| {
        for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            let label = curve.fit.map_or(String::new(), |law| format!("   {law}"));
            let points = curve.points.iter().map(|[n, ms]| (*n, *ms));
            chart
                .draw_series(points.clone().map(|point| Circle::new(point, 4, colour.filled())))?
                .label(format!("{} {}{label}", curve.family, curve.pass))
                .legend(move |(x, y)| Circle::new((x + 12, y), 4, colour.filled()));
            match (curve.fit, curve.points.last()) {
                (Some(law), Some(last)) => {
                    let line = [law.from, last[0]].map(|n| (n, law.factor * n.powf(law.exponent)));
                    chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
                }
                _ => {
                    chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(pass: &str, points: Vec<[f64; 2]>) -> ScalingCurve {
        ScalingCurve { family: "ptf".into(), pass: pass.into(), points, parameters: Vec::new(), fit: None }
    }

    #[test]
    fn every_curve_is_drawn() {
        let curves = [
            curve("sampling", vec![[16.0, 0.1], [64.0, 0.5]]),
            curve("local energies", vec![[16.0, 0.2], [64.0, 9.0]]),
        ];
        let svg = plot(&curves, "a title").unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("a title"));
        assert!(svg.contains("sampling") && svg.contains("local energies"));
        assert!(svg.matches("<circle").count() >= 4);
    }

    #[test]
    fn nothing_to_draw_is_an_error_that_says_so() {
        for curves in [Vec::new(), vec![curve("sampling", vec![[16.0, 0.1]])]] {
            assert!(plot(&curves, "").unwrap_err().to_string().contains("bench scaling"));
        }
    }
}
