//! Plot of a quantity against the step: every step, the moving mean, and the exact value if it is known. Steps outside
//! the range have a mark at its edge.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::clipping::{Edge, Outside, Point, Range};
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

impl Vertical {
    /// Coordinate of a value, in which the axis is linear.
    fn coordinate(self, value: f64) -> f64 {
        if self == Self::Logarithmic { value.log10() } else { value }
    }

    /// Value at a coordinate.
    fn value(self, coordinate: f64) -> f64 {
        if self == Self::Logarithmic { 10f64.powf(coordinate) } else { coordinate }
    }
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
    /// Label and values of a second series, if there is one.
    pub other: Option<(&'a str, &'a Series)>,
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
        let lines = self.lines(look);
        let Range { bottom, top } = lines.range;
        match look.vertical {
            Vertical::Close => {
                let decimals = plot_style::decimals(bottom, top);
                self.drawn(look, &lines, bottom..top, &|y| format!("{y:.decimals$}"))
            }
            Vertical::FromZero => {
                let decimals = plot_style::decimals(bottom, top);
                let number = |y: &f64| match *y {
                    0.0 => "0".to_string(),
                    y if top < 1e-2 => format!("{y:.1e}"),
                    y => format!("{y:.decimals$}"),
                };
                self.drawn(look, &lines, bottom..top, &number)
            }
            Vertical::Logarithmic => {
                let every = ((top - bottom) as usize).div_ceil(look.numbers[1].max(1));
                let powers = (bottom as i32..=top as i32).step_by(every).map(|power| 10f64.powi(power)).collect();
                let range = (10f64.powf(bottom)..10f64.powf(top)).log_scale().with_key_points(powers);
                self.drawn(look, &lines, range, &|y| format!("{y:.0e}"))
            }
        }
    }

    /// Steps outside the range of the plot.
    pub(in super::super) fn outside(&self, look: &SeriesStyle<'_>) -> Vec<Outside> {
        if self.points.is_empty() {
            return Vec::new();
        }
        let range = self.lines(look).range;
        let beyond = |edge: Edge| {
            let values = self.points.iter().map(|point| point.1);
            let values = values.filter(move |value| range.edge(look.vertical.coordinate(*value)) == Some(edge));
            let all = Outside { edge, steps: 0, least: f64::INFINITY, greatest: f64::NEG_INFINITY };
            values.fold(all, |all, value| Outside {
                edge,
                steps: all.steps + 1,
                least: all.least.min(value),
                greatest: all.greatest.max(value),
            })
        };
        [Edge::Top, Edge::Bottom].map(beyond).into_iter().filter(|outside| outside.steps > 0).collect()
    }

    /// Lines of the plot in its coordinates, and their range.
    fn lines(&self, look: &SeriesStyle<'_>) -> Lines {
        let plane = |points: &[(u64, f64)]| -> Vec<Point> {
            points.iter().map(|(step, value)| (*step as f64, look.vertical.coordinate(*value))).collect()
        };
        let (steps, mean) = (plane(&self.points), plane(&moving_mean(&self.points, self.window())));
        let exact = look.exact.map(|exact| look.vertical.coordinate(exact)).filter(|exact| exact.is_finite());
        let other = look.other.map_or(Vec::new(), |(_, other)| plane(&other.points));
        let Range { bottom, top } = close_range(&steps, &[&mean, &other], exact);
        let range = match look.vertical {
            Vertical::Close => Range { bottom, top },
            Vertical::FromZero => Range { bottom: 0.0, top: top.max(f64::MIN_POSITIVE) },
            // Whole powers of ten, so that the axis has at least two labels.
            Vertical::Logarithmic => Range { bottom: bottom.floor(), top: top.ceil().max(bottom.floor() + 1.0) },
        };
        Lines { steps, mean, other, exact, range }
    }

    fn drawn<Y>(
        &self,
        look: &SeriesStyle<'_>,
        lines: &Lines,
        axis: Y,
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
        let [across, upwards] = look.numbers;
        // Short runs: no labels between whole steps.
        let whole = |x: &f64| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() };
        let step = Axis { range: begin..end, name: "step", number: &whole, numbers: across };
        let value = Axis { range: axis, name: look.name, number, numbers: upwards };
        let legend = look.legend.then_some(SeriesLabelPosition::UpperRight);
        plot_style::svg(look.size, 1, |panels| {
            let frame = Frame { title: look.title, legend, letters: look.letters };
            plot_style::chart(&panels[0], frame, step, value, |chart| {
                let at = |(x, y): Point| (x, look.vertical.value(y));
                let line = |style: ShapeStyle| move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style);
                let pieces = |points: &[Point], style: ShapeStyle| {
                    let pieces = lines.range.pieces(&thinned(points));
                    pieces
                        .into_iter()
                        .map(move |piece| PathElement::new(piece.into_iter().map(at).collect::<Vec<_>>(), style))
                };
                let steps = if look.mean { STEPS.stroke_width(1) } else { FOUND.stroke_width(1) };
                chart.draw_series(pieces(&lines.steps, steps))?.label("each step").legend(line(steps));
                let window = self.window();
                if look.mean && window > 1 {
                    let mean = FOUND.stroke_width(2);
                    chart
                        .draw_series(pieces(&lines.mean, mean))?
                        .label(format!("mean of {window} steps"))
                        .legend(line(mean));
                }
                if let Some((label, _)) = look.other {
                    let other = EXACT.stroke_width(2);
                    chart.draw_series(pieces(&lines.other, other))?.label(label).legend(line(other));
                }
                if let (Some(exact), Some(value)) = (lines.exact, look.exact) {
                    let label = plot_style::typographic(&format!("{value:.5}"));
                    chart
                        .draw_series(DashedLineSeries::new(
                            [(begin, exact), (end, exact)].map(at),
                            7,
                            5,
                            EXACT.stroke_width(2),
                        ))?
                        .label(format!("exact {label}"))
                        .legend(line(EXACT.stroke_width(2)));
                }
                for outside in self.outside(look) {
                    let (edge, y) = (outside.edge, lines.range.at(outside.edge));
                    let marks = lines.range.marks(&lines.steps, edge);
                    chart
                        .draw_series(marks.into_iter().map(|x| EmptyElement::at(at((x, y))) + mark(edge, (0, 0))))?
                        .label(outside.label())
                        .legend(move |(x, y)| mark(edge, (x + 12, if edge == Edge::Top { y - 4 } else { y + 4 })));
                }
                Ok(())
            })
        })
    }
}

/// Lines of a plot in its coordinates.
struct Lines {
    steps: Vec<Point>,
    mean: Vec<Point>,
    other: Vec<Point>,
    exact: Option<f64>,
    range: Range,
}

/// Triangle with its tip at `(x, y)`, in pixels, that points out of the plot.
fn mark(edge: Edge, (x, y): (i32, i32)) -> Polygon<(i32, i32)> {
    let base = if edge == Edge::Top { y + 8 } else { y - 8 };
    Polygon::new([(x, y), (x - 5, base), (x + 5, base)], FOUND.filled())
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
fn thinned(points: &[Point]) -> Vec<Point> {
    let part = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[Point]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    points.chunks(part).map(mean).collect()
}

/// Range of the axis: from the smallest of the 1 % quantile, the moving means, the second series and the exact value, to the 95 % quantile
/// or the exact value, so that high values at the start do not flatten the rest. The extreme values are included where
/// this extends the range by less than half.
fn close_range(steps: &[Point], means: &[&[Point]], exact: Option<f64>) -> Range {
    let mut sorted: Vec<f64> = steps.iter().map(|point| point.1).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    let mut lowest = means.iter().copied().flatten().map(|point| point.1).chain(exact).fold(at(0.01), f64::min);
    let mut highest = at(0.95).max(exact.unwrap_or(f64::NEG_INFINITY));
    let room = 0.5 * (highest - lowest);
    if at(1.0) - highest <= room {
        highest = highest.max(at(1.0));
    }
    if lowest - at(0.0) <= room {
        lowest = lowest.min(at(0.0));
    }
    let margin = 0.05 * (highest - lowest).max(1e-9);
    Range { bottom: lowest - margin, top: highest + margin }
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
            other: None,
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
        assert!(["10⁻³", "10⁻²", "10⁰", "10¹"].iter().all(|power| svg.contains(power)), "{svg}");
        let svg = series([3e-4; 9]).svg(&look(Vertical::FromZero)).unwrap();
        assert!(svg.contains("1.0·10⁻⁴") && svg.contains("\n0\n"), "{svg}");
    }

    #[test]
    fn values_outside_are_marked_and_reported() {
        // Without outliers nothing is marked, and the extreme values are included.
        let within = series((0..200).map(|step| f64::from(step % 7)));
        assert!(within.outside(&look(Vertical::Close)).is_empty());
        assert!(!within.svg(&look(Vertical::Close)).unwrap().contains("<polygon"));
        let early = series((0..200).map(|step| if step < 5 { 50.0 + f64::from(step) } else { f64::from(step % 7) }));
        let outside = Outside { edge: Edge::Top, steps: 5, least: 50.0, greatest: 54.0 };
        for vertical in [Vertical::Close, Vertical::FromZero] {
            assert_eq!(early.outside(&look(vertical)), [outside], "{vertical:?}");
            assert_eq!(early.svg(&look(vertical)).unwrap().matches("<polygon").count(), 1, "{vertical:?}");
        }
        let with_legend = SeriesStyle { legend: true, ..look(Vertical::Close) };
        assert!(early.svg(&with_legend).unwrap().contains("5 steps above: 50.0 to 54.0"));
    }

    #[test]
    fn no_line_leaves_the_plot() {
        let spiked = series((0..300).map(|step| if step % 50 == 3 { 1e3 } else { 1.0 + f64::from(step % 5) }));
        let svg = spiked.svg(&look(Vertical::Close)).unwrap();
        let lines = svg.split("<polyline").skip(1).filter_map(|rest| rest.split("points=\"").nth(1)?.split('"').next());
        let heights = lines.flat_map(str::split_whitespace).map(|point| point.split_once(',').unwrap().1);
        let heights: Vec<f64> = heights.map(|y| y.parse().unwrap()).collect();
        assert!(heights.len() > 300 && heights.iter().all(|y| (0.0..=300.0).contains(y)), "{heights:?}");
    }

    #[test]
    fn means_are_over_the_window() {
        let points = [(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)];
        assert_eq!(moving_mean(&points, 2), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0)]);
    }
}
