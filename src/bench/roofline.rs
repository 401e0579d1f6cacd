//! Roofline plot: rate of every row against its arithmetic intensity, below the limits of the adapter
//! (Williams, Waterman, Patterson, CACM 52, 65 (2009)).

use plotters::prelude::*;

use super::plot::{COLORS, distinct, range};
use crate::arena::BenchRow;
use crate::error::{Error, ErrorKind, Result};
use crate::plot_style;
use crate::plot_style::{Axis, Fault, Frame, INK, LETTERS};

/// Width and height of the plot.
const SIZE: (u32, u32) = (720, 500);

/// Draws the rows of one adapter that have a rate, an arithmetic intensity and the limits of the adapter, as SVG: one
/// color per kernel, a filled circle for a forward pass, a ring for forward and backward. Rows above the roof have their
/// data in caches.
///
/// # Errors
/// [`ErrorKind::Settings`] if there is no such row.
pub fn roofline(rows: &[BenchRow], title: &str) -> Result<String> {
    let kernels = distinct(rows.iter().map(|row| row.kernel.as_str()));
    colored(&rows.iter().collect::<Vec<_>>(), title, &kernels)
}

/// As [`roofline`], with the colors of `kernels` in their order.
///
/// # Errors
/// As for [`roofline`].
pub(super) fn colored(rows: &[&BenchRow], title: &str, kernels: &[&str]) -> Result<String> {
    let points: Vec<Point<'_>> = rows.iter().copied().filter_map(Point::of).collect();
    draw(&points, title, kernels).map_err(|cause| {
        let message = format!("bench: no roofline, {cause}; measure kernels with arithmetic, such as attention");
        Error::new(ErrorKind::Settings, message)
    })
}

struct Point<'a> {
    row: &'a BenchRow,
    intensity: f64,
    gflops: f64,
    peak_gflops: f64,
    peak_gbytes_per_s: f64,
}

impl<'a> Point<'a> {
    fn of(row: &'a BenchRow) -> Option<Self> {
        Some(Self {
            row,
            intensity: row.intensity?,
            gflops: row.gflops?,
            peak_gflops: row.peak_gflops?,
            peak_gbytes_per_s: row.peak_gbytes_per_s?,
        })
    }
}

fn draw(points: &[Point<'_>], title: &str, kernels: &[&str]) -> std::result::Result<String, Fault> {
    if points.is_empty() {
        return Err("no row has a rate".into());
    }
    let largest = |value: fn(&Point<'_>) -> f64| points.iter().map(value).fold(0.0, f64::max);
    let (gflops, gbytes) = (largest(|point| point.peak_gflops), largest(|point| point.peak_gbytes_per_s));
    let ridge = gflops / gbytes;
    let intensities = range(points.iter().map(|point| point.intensity).chain([ridge]), [2.0; 2]);
    // Leaves space for the legend above the roof.
    let rates = range(points.iter().map(|point| point.gflops).chain([gflops]), [2.0, 12.0]);
    // The sloped part starts where it enters the plot.
    let start = intensities.start.max(rates.start / gbytes);
    let roof = [start, ridge, intensities.end].map(|x| (x, (x * gbytes).min(gflops)));
    let number = |value: &f64| format!("{value}");
    let ticks = ticks(intensities.start, intensities.end);
    let x = Axis {
        range: intensities.log_scale().with_key_points(ticks),
        name: "FLOP per byte",
        number: &number,
        numbers: 9,
    };
    let y = Axis { range: rates.log_scale(), name: "GFLOP/s", number: &number, numbers: 9 };
    let frame = Frame { title, legend: Some(SeriesLabelPosition::UpperLeft), letters: LETTERS };
    plot_style::svg(SIZE, 1, |panels| {
        plot_style::chart(&panels[0], frame, x, y, |chart| {
            chart
                .draw_series(LineSeries::new(roof, INK.stroke_width(2)))?
                .label(format!("{gflops:.0} GFLOP/s, {gbytes:.0} GB/s"))
                .legend(|(x, y)| PathElement::new([(x + 2, y), (x + 22, y)], INK.stroke_width(2)));
            for (at, kernel) in kernels.iter().enumerate() {
                let color = &COLORS[at % COLORS.len()];
                let own: Vec<&Point<'_>> = points.iter().filter(|point| point.row.kernel == *kernel).collect();
                if own.is_empty() {
                    continue;
                }
                let circle = |point: &&Point<'_>| {
                    let is_ring = point.row.pass.as_deref().is_some_and(|pass| pass != "forward");
                    let style = if is_ring { color.stroke_width(2) } else { color.filled() };
                    Circle::new((point.intensity, point.gflops), 5, style)
                };
                chart
                    .draw_series(own.iter().map(circle))?
                    .label(*kernel)
                    .legend(move |(x, y)| Circle::new((x + 12, y), 5, color.filled()));
            }
            Ok(())
        })
    })
}

/// Ticks 1, 2, 5, 10, … of a logarithmic axis.
fn ticks(start: f64, end: f64) -> Vec<f64> {
    let powers = start.log10().floor() as i32..=end.log10().ceil() as i32;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    all.filter(|tick| (start..=end).contains(tick)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kernel: &str, intensity: f64) -> BenchRow {
        BenchRow {
            kernel: kernel.into(),
            intensity: Some(intensity),
            gflops: Some(3.0),
            peak_gflops: Some(100.0),
            peak_gbytes_per_s: Some(20.0),
            ..BenchRow::default()
        }
    }

    #[test]
    fn every_row_with_a_rate_is_below_a_roof() {
        let rows = [row("mine", 0.5), row("ours", 40.0), BenchRow::default()];
        let svg = roofline(&rows, "an adapter").unwrap();
        // Two rows, and two in the legend.
        assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
        assert!(svg.contains("100 GFLOP/s, 20 GB/s") && svg.contains("an adapter") && svg.contains("mine"), "{svg}");
    }

    #[test]
    fn rows_without_a_rate_are_an_error() {
        assert!(roofline(&[BenchRow::default()], "").unwrap_err().to_string().contains("no row has a rate"));
    }
}
