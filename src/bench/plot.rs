//! Plot of scaling curves: milliseconds per sample against sites, both logarithmic, one panel per kind of pass.

use std::ops::Range;

use plotters::prelude::*;

use super::curve::ScalingCurve;
use crate::error::{Error, ErrorKind, Result};
use crate::plot_style;
use crate::plot_style::{Axis, Fault, Frame, LETTERS, Panel};

/// Width of the plot and height of a panel.
const SIZE: (u32, u32) = (860, 500);
/// Palette of Okabe and Ito, distinguishable with color vision deficiencies and in grayscale.
pub(super) const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(34, 34, 34),
];

/// Draws the curves as SVG.
///
/// # Errors
/// [`ErrorKind::Settings`] if there are fewer than two sizes.
pub fn plot(curves: &[ScalingCurve], title: &str) -> Result<String> {
    draw(curves, title).map_err(|cause| {
        let message = format!("bench: the plot cannot be drawn, {cause}; measure `bench scaling` at two sizes or more");
        Error::new(ErrorKind::Settings, message)
    })
}

/// Range of the values, extended by these factors below and above.
pub(super) fn range(values: impl Iterator<Item = f64> + Clone, [below, above]: [f64; 2]) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let largest = values.fold(0.0, f64::max);
    least / below..largest * above
}

fn draw(curves: &[ScalingCurve], title: &str) -> std::result::Result<String, Fault> {
    let sites = curves.iter().flat_map(|curve| &curve.points).map(|point| point[0]);
    if sites.clone().all(|n| Some(n) == sites.clone().next()) {
        return Err("fewer than two sizes have a time".into());
    }
    let kinds = distinct(curves.iter().map(|curve| curve.kind().0));
    let labels = distinct(curves.iter().map(label));
    let size = (SIZE.0, SIZE.1 * kinds.len() as u32);
    plot_style::svg(size, kinds.len(), |panels| {
        for (panel, kind) in panels.iter().zip(&kinds) {
            let of_kind: Vec<&ScalingCurve> = curves.iter().filter(|curve| curve.kind().0 == *kind).collect();
            let color = |curve: &ScalingCurve| {
                let at = labels.iter().position(|other| *other == label(curve)).unwrap_or_default();
                &COLORS[at % COLORS.len()]
            };
            draw_panel(panel, &of_kind, &format!("{kind}: {title}"), range(sites.clone(), [1.15; 2]), color)?;
        }
        Ok(())
    })
}

/// Removes duplicates; keeps the order of first occurrence.
pub(super) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    values.for_each(|value| {
        if !all.contains(&value) {
            all.push(value);
        }
    });
    all
}

/// Label of a curve in its panel.
fn label(curve: &ScalingCurve) -> String {
    match curve.kind().1 {
        Some(how) => format!("{}, {how}", curve.family),
        None => curve.family.clone(),
    }
}

fn draw_panel(
    panel: &Panel<'_>,
    curves: &[&ScalingCurve],
    title: &str,
    x: Range<f64>,
    color: impl Fn(&ScalingCurve) -> &'static RGBColor,
) -> std::result::Result<(), Fault> {
    let points = curves.iter().flat_map(|curve| &curve.points);
    // Leaves space for the legend above the points.
    let y = range(points.clone().map(|point| point[1]), [1.6, 10.0]);
    let mut ticks = distinct(points.map(|point| point[0]));
    ticks.sort_by(f64::total_cmp);
    let sites = Axis {
        range: x.log_scale().with_key_points(ticks),
        name: "sites N",
        number: &|x| format!("{x:.0}"),
        numbers: 11,
    };
    let cost = Axis { range: y.log_scale(), name: "ms per sample", number: &|y| format!("{y}"), numbers: 11 };
    let frame = Frame { title, legend: Some(SeriesLabelPosition::UpperLeft), letters: LETTERS };
    plot_style::chart(panel, frame, sites, cost, |chart| {
        for curve in curves {
            let color = color(curve);
            let law = curve.fit.map_or(String::new(), |law| format!("   {law}"));
            let points = curve.points.iter().map(|[n, ms]| (*n, *ms));
            chart
                .draw_series(points.clone().map(|point| Circle::new(point, 4, color.filled())))?
                .label(format!("{}{law}", label(curve)))
                .legend(move |(x, y)| Circle::new((x + 12, y), 4, color.filled()));
            match (curve.fit, curve.points.last()) {
                (Some(law), Some(last)) => {
                    let line = [law.from, last[0]].map(|n| (n, law.factor * n.powf(law.exponent)));
                    chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
                }
                _ => {
                    chart.draw_series(LineSeries::new(points, color.stroke_width(1)))?;
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
            curve("sampling, no cache", vec![[16.0, 0.2], [64.0, 1.5]]),
            curve("local energies", vec![[16.0, 0.2], [64.0, 9.0]]),
        ];
        let svg = plot(&curves, "a title").unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("a title"));
        assert!(svg.contains("sampling: a title") && svg.contains("local energies: a title"));
        assert!(svg.matches("<circle").count() >= 6 && svg.contains("ptf, no cache"));
    }

    #[test]
    fn nothing_to_draw_is_an_error_that_says_so() {
        for curves in [Vec::new(), vec![curve("sampling", vec![[16.0, 0.1]])]] {
            assert!(plot(&curves, "").unwrap_err().to_string().contains("bench scaling"));
        }
    }
}
