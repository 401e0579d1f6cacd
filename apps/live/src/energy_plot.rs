//! Energy per site against step, with the exact energy.

use eframe::egui::{self, Align2, FontId, Painter, Pos2, Rect, Sense, Shape, Stroke, pos2, vec2};
use serde::{Deserialize, Serialize};

use crate::history::{History, Point};
use crate::theme::{ACCENT, CANVAS, COUNTER, LINE, TEXT, WEAK};

/// Quantity of the vertical axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantity {
    /// E/N.
    #[default]
    Energy,
    /// |E − E₀|/|E₀| on a logarithmic axis.
    Error,
}

/// Map from steps and values to points of the screen.
pub struct Axes {
    /// Area of the curves.
    pub rect: Rect,
    /// First and last step.
    pub steps: [f64; 2],
    /// Smallest and largest value.
    pub values: [f64; 2],
}

impl Axes {
    /// Axes in a space of `size`.
    pub fn allocate(ui: &mut egui::Ui, size: egui::Vec2, steps: [f64; 2], values: [f64; 2]) -> (Painter, Self) {
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        let painter = ui.painter_at(rect);
        painter.rect_filled(rect, 6.0, CANVAS);
        let rect = Rect::from_min_max(rect.min + vec2(52.0, 12.0), rect.max - vec2(12.0, 24.0));
        (painter, Self { rect, steps, values })
    }

    fn x(&self, step: f64) -> f32 {
        let fraction = (step - self.steps[0]) / (self.steps[1] - self.steps[0]);
        self.rect.left() + self.rect.width() * fraction as f32
    }

    /// Height of a value.
    pub fn y(&self, value: f64) -> f32 {
        let fraction = (value - self.values[0]) / (self.values[1] - self.values[0]);
        self.rect.bottom() - self.rect.height() * (fraction.clamp(-0.05, 1.05) as f32)
    }

    /// Point of a step and its value.
    pub fn at(&self, step: f64, value: f64) -> Pos2 {
        pos2(self.x(step), self.y(value))
    }
}

/// Distance of ticks such that there are about `count` in `range`: 1, 2 or 5 times a power of ten.
fn tick_distance(range: f64, count: f64) -> f64 {
    let power = 10f64.powf((range / count).log10().floor());
    let multiple = range / count / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|nice| multiple <= *nice).unwrap_or(10.0)
}

fn ticks([low, high]: [f64; 2], count: f64) -> Vec<f64> {
    let distance = tick_distance(high - low, count);
    let first = (low / distance).ceil() as i64;
    (first..).map(|tick| tick as f64 * distance).take_while(|tick| *tick <= high).collect()
}

/// Fraction of the means that the vertical axis covers: the first steps of a run are far above the others.
const COVERED: f64 = 0.93;

/// Values that the vertical axis covers.
fn energy_range(history: &History) -> [f64; 2] {
    let mut means: Vec<f64> = history.points().iter().map(|point| point.mean).collect();
    means.sort_by(f64::total_cmp);
    let at = (COVERED * means.len() as f64) as usize;
    let exact = || history.segments().iter().filter_map(|segment| segment.exact);
    let low = means.first().copied().into_iter().chain(exact()).fold(f64::INFINITY, f64::min);
    let high = means.get(at).copied().into_iter().chain(exact()).fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return [-1.0, 0.0];
    }
    let margin = (0.1 * (high - low)).max(5e-3 * low.abs()).max(1e-6);
    [low - 1.6 * margin, high + margin]
}

/// Shows the plot in a space of `size`.
pub fn show(ui: &mut egui::Ui, history: &History, quantity: Quantity, size: egui::Vec2) {
    let begin = history.begin_step();
    let steps = [begin, history.steps().max(begin + 50)].map(|step| step as f64);
    let values = match quantity {
        Quantity::Energy => energy_range(history),
        Quantity::Error => [-4.0, 0.3],
    };
    let (painter, axes) = Axes::allocate(ui, size, steps, values);
    match quantity {
        Quantity::Energy => grid(&painter, &axes),
        Quantity::Error => {
            let decades = [(0.0, "100 %"), (-1.0, "10 %"), (-2.0, "1 %"), (-3.0, "0.1 %"), (-4.0, "0.01 %")];
            grid_of(&painter, &axes, decades.map(|(tick, text)| (tick, text.to_string())));
        }
    }
    match quantity {
        Quantity::Energy => energies(&painter, &axes, history),
        Quantity::Error => errors(&painter, &axes, history),
    }
}

/// Lines at round values and round steps.
pub fn grid(painter: &Painter, axes: &Axes) {
    let distance = tick_distance(axes.values[1] - axes.values[0], 5.0);
    let decimals = (-distance.log10().floor()).max(0.0) as usize;
    let text = |tick: f64| (tick, format!("{tick:.decimals$}").replace('-', "−"));
    grid_of(painter, axes, ticks(axes.values, 5.0).into_iter().map(text));
}

fn grid_of(painter: &Painter, axes: &Axes, lines: impl IntoIterator<Item = (f64, String)>) {
    let font = FontId::proportional(11.0);
    for (tick, text) in lines {
        let y = axes.y(tick);
        painter.hline(axes.rect.x_range(), y, Stroke::new(1.0, LINE));
        painter.text(pos2(axes.rect.left() - 8.0, y), Align2::RIGHT_CENTER, text, font.clone(), WEAK);
    }
    let [first, last] = axes.steps;
    // The name of the axis takes the end of it.
    let end = axes.rect.right() - 52.0;
    for tick in ticks([first, last], 5.0).into_iter().filter(|tick| axes.x(*tick) < end) {
        let at = pos2(axes.x(tick), axes.rect.bottom() + 6.0);
        let align = if tick == first { Align2::LEFT_TOP } else { Align2::CENTER_TOP };
        painter.text(at, align, format!("{tick}"), font.clone(), WEAK);
    }
    painter.text(axes.rect.right_bottom() + vec2(0.0, 6.0), Align2::RIGHT_TOP, "step", font, WEAK);
}

/// Vertical lines where the Hamiltonian changed.
fn changes(painter: &Painter, axes: &Axes, history: &History) {
    for segment in history.segments().iter().skip(1) {
        painter.vline(axes.x(segment.begin as f64), axes.rect.y_range(), Stroke::new(1.0, LINE.gamma_multiply(1.6)));
    }
}

fn energies(painter: &Painter, axes: &Axes, history: &History) {
    changes(painter, axes, history);
    let points = history.points();
    let clipped = painter.with_clip_rect(axes.rect.expand2(vec2(2.0, 4.0)));
    // At most two dots for a point of the screen.
    let every = (points.len() / (2 * axes.rect.width() as usize).max(1)).max(1);
    for point in points.iter().step_by(every) {
        clipped.circle_filled(axes.at(point.step as f64, point.energy), 1.1, ACCENT.gamma_multiply(0.28));
    }
    let ends = history.segments().iter().skip(1).map(|segment| segment.begin as f64).chain([axes.steps[1]]);
    for (segment, end) in history.segments().iter().zip(ends) {
        let Some(exact) = segment.exact else { continue };
        let line = [axes.at(segment.begin as f64, exact), axes.at(end, exact)];
        clipped.extend(Shape::dashed_line(&line, Stroke::new(1.6, COUNTER), 6.0, 4.0));
    }
    let line: Vec<Pos2> = points.iter().step_by(every).map(|point| axes.at(point.step as f64, point.mean)).collect();
    clipped.line(line, Stroke::new(2.0, ACCENT));
    if let Some(exact) = history.exact() {
        let at = pos2(axes.rect.right() - 2.0, axes.y(exact) + 3.0);
        clipped.text(at, Align2::RIGHT_TOP, "exact", FontId::proportional(11.0), COUNTER);
    }
    if points.is_empty() {
        let text = "the first step is on its way";
        painter.text(axes.rect.center(), Align2::CENTER_CENTER, text, FontId::proportional(13.0), WEAK);
    }
}

fn errors(painter: &Painter, axes: &Axes, history: &History) {
    changes(painter, axes, history);
    let clipped = painter.with_clip_rect(axes.rect.expand2(vec2(2.0, 4.0)));
    let ends = history.segments().iter().skip(1).map(|segment| segment.begin).chain([u64::MAX]);
    for (segment, end) in history.segments().iter().zip(ends) {
        let Some(exact) = segment.exact else { continue };
        let points = history.points().iter().filter(|point| point.step > segment.begin && point.step <= end);
        let error = |point: &Point| ((point.mean - exact) / exact).abs().max(1e-5).log10();
        let line: Vec<Pos2> = points.map(|point| axes.at(point.step as f64, error(point))).collect();
        clipped.line(line, Stroke::new(2.0, ACCENT));
    }
    if history.exact().is_none() {
        let text = "no exact energy is known for this lattice";
        painter.text(axes.rect.center(), Align2::CENTER_CENTER, text, FontId::proportional(13.0), TEXT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks([-0.55, -0.31], 5.0).len(), 5);
        assert!(ticks([0.0, 50.0], 5.0).iter().zip([0.0, 10.0, 20.0, 30.0, 40.0, 50.0]).all(|(a, b)| *a == b));
        assert_eq!(tick_distance(7.0, 5.0), 2.0);
    }
}
