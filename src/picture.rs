//! What all pictures share: size of letters, ink, frame, legend. Each is an SVG text.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

/// Letters, frames and what is neither found nor exact.
pub const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(228, 228, 228);
/// What was found.
pub const FOUND: RGBColor = RGBColor(20, 84, 150);
/// What is exact.
pub const EXACT: RGBColor = RGBColor(196, 60, 40);

/// Decimals that tell the numbers of an axis over this range apart.
pub fn decimals(bottom: f64, top: f64) -> usize {
    (1 - (top - bottom).log10().floor() as i32).clamp(0, 9) as usize
}

/// Why something was not drawn.
pub type Fault = Box<dyn std::error::Error>;

/// A chart that curves are drawn into.
pub type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

/// An axis: how its range is laid out, what it says, and how its numbers are written.
pub struct Axis<'a, R> {
    /// The range, linear or logarithmic.
    pub range: R,
    /// What it counts, with its unit.
    pub name: &'a str,
    /// A number on it.
    pub number: &'a dyn Fn(&f64) -> String,
    /// Numbers on it, about.
    pub numbers: usize,
}

/// What is around a chart: its title, where there is one, its legend, and how large its letters are.
pub struct Frame<'a> {
    /// Above the chart; none where it is empty.
    pub title: &'a str,
    /// Where the legend is, where there is one.
    pub legend: Option<SeriesLabelPosition>,
    /// Points of the letters of an axis' numbers; others and the room for them follow.
    pub letters: u32,
}

/// Points of the letters in a picture that is a file of its own.
pub const LETTERS: u32 = 14;

/// A part of a picture.
pub type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture of `size` points with `panels` panels, one below the other, that `draw` fills.
///
/// # Errors
/// What drawing says.
pub fn svg(
    size: (u32, u32),
    panels: usize,
    draw: impl FnOnce(&[Panel<'_>]) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area.split_evenly((panels, 1)))?;
        area.present()?;
    }
    Ok(svg)
}

/// A chart in a panel: its frame, axes, what `curves` draws, and their legend.
///
/// # Errors
/// What drawing says.
pub fn chart<X, Y>(
    panel: &Panel<'_>,
    frame: Frame<'_>,
    x: Axis<'_, X>,
    y: Axis<'_, Y>,
    curves: impl FnOnce(&mut Chart<'_, '_, X::CoordDescType, Y::CoordDescType>) -> Result<(), Fault>,
) -> Result<(), Fault>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let scaled = |size: u32| (size * frame.letters).div_ceil(LETTERS);
    let letters = |size: u32| ("sans-serif", scaled(size)).into_font().color(&INK);
    let mut builder = ChartBuilder::on(panel);
    builder.margin(16).x_label_area_size(scaled(44)).y_label_area_size(scaled(72));
    if !frame.title.is_empty() {
        builder.caption(frame.title, letters(17));
    }
    let mut chart = builder.build_cartesian_2d(x.range, y.range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_desc(x.name)
        .y_desc(y.name)
        .x_labels(x.numbers)
        .y_labels(y.numbers)
        .x_label_formatter(x.number)
        .y_label_formatter(y.number)
        .label_style(letters(14))
        .axis_desc_style(letters(15))
        .draw()?;
    curves(&mut chart)?;
    let Some(position) = frame.legend else { return Ok(()) };
    chart
        .configure_series_labels()
        .position(position)
        .margin(12)
        .legend_area_size(34)
        .background_style(WHITE)
        .border_style(FAINT)
        .label_font(letters(14))
        .draw()?;
    Ok(())
}

/// Means with their standard errors by x: a line from one to the next, and bars of `width` points.
///
/// # Errors
/// What drawing says.
pub fn means<X, Y>(chart: &mut Chart<'_, '_, X, Y>, points: &[(f64, [f64; 2])], width: u32) -> Result<(), Fault>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart.draw_series(LineSeries::new(points.iter().map(|(x, [mean, _])| (*x, *mean)), FOUND.stroke_width(1)))?;
    chart.draw_series(points.iter().map(|(x, [mean, error])| {
        ErrorBar::new_vertical(*x, mean - error, *mean, mean + error, FOUND.filled(), width)
    }))?;
    Ok(())
}
