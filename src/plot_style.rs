//! Common style of all plots: font size, colors, frame and legend. A plot is an SVG string.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

/// Color of text, frames and everything that is neither an estimate nor exact.
pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(228, 228, 228);
/// Color of estimates.
pub(crate) const FOUND: RGBColor = RGBColor(20, 84, 150);
/// Color of exact values and of held-out data.
pub(crate) const EXACT: RGBColor = RGBColor(196, 60, 40);

/// Number of decimals that distinguishes the tick labels of an axis over this range.
pub(crate) fn decimals(bottom: f64, top: f64) -> usize {
    (1 - (top - bottom).log10().floor() as i32).clamp(0, 9) as usize
}

/// Number formatted by Rust, such as `-1.5e-3`, with a minus sign and powers of ten: −1.5·10⁻³.
pub(crate) fn typographic(number: &str) -> String {
    let (digits, power) = number.split_once('e').unwrap_or((number, ""));
    let superscript = |letter: char| match letter.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    let power: String = power.chars().map(superscript).collect();
    let number = match (digits, power.as_str()) {
        (digits, "") => digits.into(),
        ("1", power) => format!("10{power}"),
        (digits, power) => format!("{digits}·10{power}"),
    };
    number.replace('-', "−")
}

/// Reason that a plot was not drawn.
pub(crate) type Fault = Box<dyn std::error::Error>;

/// A chart to draw series into.
pub(crate) type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

/// An axis: its range, its name and the format of its tick labels.
pub(crate) struct Axis<'a, R> {
    /// The range, linear or logarithmic.
    pub range: R,
    /// Name of the quantity, with its unit.
    pub name: &'a str,
    /// Formats a tick label.
    pub number: &'a dyn Fn(&f64) -> String,
    /// Approximate number of tick labels.
    pub numbers: usize,
}

/// Surroundings of a chart: title, legend and font size.
pub(crate) struct Frame<'a> {
    /// Title above the chart; no title if empty.
    pub title: &'a str,
    /// Position of the legend, if there is one.
    pub legend: Option<SeriesLabelPosition>,
    /// Font size of tick labels in points. Other fonts and the label areas scale with it.
    pub letters: u32,
}

/// Font size in points for a plot in a separate file.
pub(crate) const LETTERS: u32 = 14;

/// A panel of a plot.
pub(crate) type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a plot of `size` points with `panels` panels stacked vertically, filled by `draw`.
///
/// # Errors
/// Any error of drawing.
pub(crate) fn svg(
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

/// Draws a chart in a panel: its frame, its axes, the series that `curves` draws, and their legend.
///
/// # Errors
/// Any error of drawing.
pub(crate) fn chart<X, Y>(
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
    let labels = [x.number, y.number].map(|number| move |value: &f64| typographic(&number(value)));
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
        .x_label_formatter(&labels[0])
        .y_label_formatter(&labels[1])
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

/// Draws means with their standard errors: a line through the means and error bars with caps of `width` points.
///
/// # Errors
/// Any error of drawing.
pub(crate) fn means<X, Y>(chart: &mut Chart<'_, '_, X, Y>, points: &[(f64, [f64; 2])], width: u32) -> Result<(), Fault>
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

#[cfg(test)]
mod tests {
    use super::typographic;

    #[test]
    fn numbers_have_minus_signs_and_powers_of_ten() {
        for (number, shown) in [
            ("-0.45", "−0.45"),
            ("12", "12"),
            ("1e-3", "10⁻³"),
            ("1e0", "10⁰"),
            ("1e12", "10¹²"),
            ("-1.5e-10", "−1.5·10⁻¹⁰"),
            ("", ""),
        ] {
            assert_eq!(typographic(number), shown);
        }
    }
}
