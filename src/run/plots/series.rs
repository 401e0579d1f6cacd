//! Plot of a quantity against the step: every step, the moving mean, and the exact value if it is known.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::plot_style;
use crate::plot_style::{Axis, EXACT, FOUND, Fault, Frame};

const STEPS: RGBColor = RGBColor(140, 182, 222);

/// Maximum number of points of a line: a longer run is drawn as the means of equal segments.
const MOST_POINTS: usize = 800;

/// Scale of the vertical axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Vertical {
    /// Linear, fitted to the values shown.
    Close,
    /// Linear from zero; no value is below zero.
    FromZero,
    /// Logarithmic; all values are above zero.
    Logarithmic,
}

/// Style of the plot of a series.
pub(in super::super) struct SeriesStyle<'a> {
    /// Width and height in points.
    pub size: (u32, u32),
    /// Font size in points.
    pub letters: u32,
    /// Title above the plot; no title if empty.
    pub title: &'a str,
    /// Name of the quantity.
    pub name: &'a str,
    /// Exact value, if it is known.
    pub exact: Option<f64>,
    pub vertical: Vertical,
    /// Whether the moving mean is drawn too.
    pub mean: bool,
    /// Whether the plot has a legend.
    pub legend: bool,
    /// Approximate number of labels on the horizontal and the vertical axis.
    pub numbers: [usize; 2],
}

/// Values by step, to be drawn.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Series {
    points: Vec<(u64, f64)>,
}

impl Series {
    /// Adds the value of a step; a value that is not finite is skipped.
    pub(in super::super) fn push(&mut self, step: u64, number: f64) {
        if number.is_finite() {
            self.points.push((step, number));
        }
    }

    /// Number of values.
    pub(in super::super) fn len(&self) -> usize {
        self.points.len()
    }

    /// Number of steps in the moving mean.
    pub(in super::super) fn window(&self) -> usize {
        (self.points.len() / 20).clamp(1, 50)
    }

    /// Returns the plot as SVG.
    ///
    /// # Errors
    /// If there is no step, or the error of the plotting library.
    pub(in super::super) fn svg(&self, look: &SeriesStyle<'_>) -> Result<String, Fault> {
        if self.points.is_empty() {
            return Err("no step was taken".into());
        }
        let exact = look.exact.filter(|exact| exact.is_finite());
        let mean = moving_mean(&self.points, self.window());
        let (bottom, top) = range(&mean, &self.points, exact);
        match look.vertical {
            Vertical::Close => {
                let decimals = plot_style::decimals(bottom, top);
                self.drawn((look, &mean), (bottom, top), bottom..top, &|y| format!("{y:.decimals$}"))
            }
            Vertical::FromZero => {
                let top = top.max(f64::MIN_POSITIVE);
                let decimals = plot_style::decimals(0.0, top);
                let number = |y: &f64| match *y {
                    0.0 => "0".to_string(),
                    y if top < 1e-2 => format!("{y:.1e}"),
                    y => format!("{y:.decimals$}"),
                };
                self.drawn((look, &mean), (0.0, top), 0.0..top, &number)
            }
            Vertical::Logarithmic => {
                // A single step close to zero does not extend the axis.
                let least = part_below(&self.points, 0.01);
                // Round outwards to whole powers of ten, so that the axis has at least one label.
                let first = least.log10().floor() as i32;
                let last = (top.log10().ceil() as i32).max(first + 1);
                let every = ((last - first) as usize).div_ceil(look.numbers[1].max(1));
                let powers: Vec<f64> = (first..=last).step_by(every).map(|power| 10f64.powi(power)).collect();
                let (bottom, top) = (10f64.powi(first), 10f64.powi(last));
                let range = (bottom..top).log_scale().with_key_points(powers);
                self.drawn((look, &mean), (bottom, top), range, &|y| format!("{y:.0e}"))
            }
        }
    }

    fn drawn<Y>(
        &self,
        (look, mean): (&SeriesStyle<'_>, &[(u64, f64)]),
        (bottom, top): (f64, f64),
        range: Y,
        number: &dyn Fn(&f64) -> String,
    ) -> Result<String, Fault>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let (begin, end) = match self.points[..] {
            [(first, _), .., (last, _)] => (first as f64, last as f64),
            [(only, _)] => (only as f64, only as f64 + 1.0),
            [] => return Err("no step was taken".into()),
        };
        let clip = |points: Vec<(f64, f64)>| points.into_iter().map(move |(x, y)| (x, y.clamp(bottom, top)));
        let [across, upwards] = look.numbers;
        // Short runs: no labels between whole steps.
        let whole = |x: &f64| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() };
        let step = Axis { range: begin..end, name: "step", number: &whole, numbers: across };
        let value = Axis { range, name: look.name, number, numbers: upwards };
        let legend = look.legend.then_some(SeriesLabelPosition::UpperRight);
        plot_style::svg(look.size, 1, |panels| {
            let frame = Frame { title: look.title, legend, letters: look.letters };
            plot_style::chart(&panels[0], frame, step, value, |chart| {
                let line = |style: ShapeStyle| move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style);
                let steps = if look.mean { STEPS.stroke_width(1) } else { FOUND.stroke_width(1) };
                chart
                    .draw_series(LineSeries::new(clip(thinned(&self.points)), steps))?
                    .label("each step")
                    .legend(line(steps));
                let window = self.window();
                if look.mean && window > 1 {
                    chart
                        .draw_series(LineSeries::new(clip(thinned(mean)), FOUND.stroke_width(2)))?
                        .label(format!("mean of {window} steps"))
                        .legend(line(FOUND.stroke_width(2)));
                }
                if let Some(exact) = look.exact.filter(|exact| exact.is_finite()) {
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

/// Mean of each point and the `window - 1` points before it, or as many as there are.
fn moving_mean(points: &[(u64, f64)], window: usize) -> Vec<(u64, f64)> {
    let mean = |end: usize| {
        let part = &points[(end + 1).saturating_sub(window)..=end];
        part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64
    };
    points.iter().enumerate().map(|(end, point)| (point.0, mean(end))).collect()
}

/// At most [`MOST_POINTS`] points: each is the mean of an equal segment.
fn thinned(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let part = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[(u64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|point| point.0 as f64).sum::<f64>() / n, part.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunks(part).map(mean).collect()
}

/// Quantile `part` of the values.
fn part_below(points: &[(u64, f64)], part: f64) -> f64 {
    let mut sorted: Vec<f64> = points.iter().map(|point| point.1).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// Range of the axis: from the smallest of the 1 % quantile, the moving means and the exact value, to the 95 % quantile
/// or the exact value, so that high values at the start do not flatten the rest.
fn range(mean: &[(u64, f64)], points: &[(u64, f64)], exact: Option<f64>) -> (f64, f64) {
    let at = |part: f64| part_below(points, part);
    let lowest = mean.iter().map(|point| point.1).chain(exact).fold(at(0.01), f64::min);
    let highest = at(0.95).max(exact.unwrap_or(f64::NEG_INFINITY));
    let margin = 0.05 * (highest - lowest).max(1e-9);
    (lowest - margin, highest + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(vertical: Vertical) -> SeriesStyle<'static> {
        SeriesStyle {
            size: (440, 300),
            letters: 17,
            title: "",
            name: "variance",
            exact: None,
            vertical,
            mean: true,
            legend: false,
            numbers: [5, 5],
        }
    }

    fn series(numbers: impl IntoIterator<Item = f64>) -> Series {
        let mut series = Series::default();
        numbers.into_iter().zip(1..).for_each(|(number, step)| series.push(step, number));
        series
    }

    #[test]
    fn every_layout_draws_what_is_constant_small_or_short() {
        let falling: Vec<f64> = (1..500).map(|step| 3.0 / f64::from(step * step)).collect();
        for numbers in [vec![5e-4; 100], vec![1e-12, 1e3], vec![2.0], vec![0.1, f64::NAN, 0.2], falling] {
            for vertical in [Vertical::Close, Vertical::FromZero, Vertical::Logarithmic] {
                let svg = series(numbers.clone()).svg(&look(vertical)).unwrap();
                assert!(svg.contains("<polyline") || numbers.len() == 1, "{vertical:?} {numbers:?}");
                assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("variance"), "{vertical:?}");
            }
        }
        assert!(series([f64::NAN]).svg(&look(Vertical::Close)).is_err());
    }

    #[test]
    fn an_axis_of_powers_names_them() {
        let svg = series([2e-3, 5.0]).svg(&look(Vertical::Logarithmic)).unwrap();
        assert!(["1e-3", "1e-2", "1e0", "1e1"].iter().all(|power| svg.contains(power)), "{svg}");
        let svg = series([3e-4; 9]).svg(&look(Vertical::FromZero)).unwrap();
        assert!(svg.contains("1.0e-4") && svg.contains("\n0\n"), "{svg}");
    }

    #[test]
    fn means_are_over_the_window() {
        let points = [(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)];
        assert_eq!(moving_mean(&points, 2), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0)]);
    }
}
