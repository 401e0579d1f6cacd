//! Color scale with its legend.
//!
//! A color has one hue for each sign, and the value is its opacity. Zero is therefore the background, light or dark.

use super::super::markup::{coordinate, escaped, shown};

/// Mapping from values to colors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Scale {
    /// Magnitude of a value with full opacity.
    greatest: f64,
    /// Whether values have a sign.
    pub signed: bool,
    /// Whether the opacity is the square root of the relative magnitude, so that small values are visible next to large
    /// ones.
    root: bool,
}

impl Scale {
    /// Creates a scale up to the largest magnitude of `values`, which may have both signs; values that are not finite
    /// are ignored.
    pub(in super::super) fn signed(values: impl IntoIterator<Item = f64>) -> Self {
        Self { greatest: greatest(values), signed: true, root: false }
    }

    /// Creates a scale up to the largest of `values`, which are not negative.
    pub(in super::super) fn positive(values: impl IntoIterator<Item = f64>) -> Self {
        Self { greatest: greatest(values), signed: false, root: false }
    }

    /// Returns the scale with square roots.
    pub(in super::super) fn by_root(self) -> Self {
        Self { root: true, ..self }
    }

    /// Magnitude of a value with full opacity; 1 if all values are 0.
    pub(in super::super) fn greatest(&self) -> f64 {
        self.greatest
    }

    /// Opacity of a value, from 0 to 1.
    pub(in super::super) fn opacity(&self, value: f64) -> f64 {
        let part = (value.abs() / self.greatest).clamp(0.0, 1.0);
        match part.is_nan() {
            true => 0.0,
            false if self.root => part.sqrt(),
            false => part,
        }
    }

    /// CSS class of a value, which sets its hue.
    pub(in super::super) fn class(&self, value: f64) -> &'static str {
        if self.signed && value > 0.0 { "plus" } else { "minus" }
    }

    /// Attributes that fill a shape with the color of a value.
    pub(in super::super) fn fill(&self, value: f64) -> String {
        let opacity = (100.0 * self.opacity(value)).round() / 100.0;
        format!("class=\"{}\" fill-opacity=\"{}\"", self.class(value), coordinate(opacity))
    }

    /// Legend of the colors; `name` is the quantity.
    pub(in super::super) fn legend(&self, name: &str) -> String {
        let half = if self.root { 0.25 } else { 0.5 } * self.greatest;
        let numbers = match self.signed {
            true => vec![-self.greatest, -half, 0.0, half, self.greatest],
            false => vec![0.0, half, self.greatest],
        };
        let class = if self.signed { "signed" } else { "positive" };
        let ticks: String = numbers.iter().map(|number| format!("<span>{}</span>", shown(*number, 2))).collect();
        let name = escaped(name);
        format!("<div class=\"legend {class}\"><span>{name}</span><i></i><div>{ticks}</div></div>")
    }
}

fn greatest(values: impl IntoIterator<Item = f64>) -> f64 {
    let most = values.into_iter().filter(|value| value.is_finite()).fold(0.0, |most: f64, value| most.max(value.abs()));
    if most > 0.0 { most } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_opacities_and_signs_have_hues() {
        let scale = Scale::signed([0.5, -2.0, f64::NAN]);
        assert_eq!([2.0, -1.0, 0.0, 9.0, f64::NAN].map(|value| scale.opacity(value)), [1.0, 0.5, 0.0, 1.0, 0.0]);
        assert_eq!([scale.class(1.0), scale.class(-1.0)], ["plus", "minus"]);
        let scale = Scale::positive([4.0]).by_root();
        assert_eq!((scale.opacity(1.0), scale.class(1.0)), (0.5, "minus"));
        assert_eq!(scale.fill(1.0), "class=\"minus\" fill-opacity=\"0.5\"");
        assert_eq!(Scale::positive([]).greatest(), 1.0);
    }

    #[test]
    fn a_legend_names_the_ends_and_the_middle() {
        let legend = Scale::positive([0.8]).by_root().legend("a <weight>");
        assert!(legend.contains("<span>0</span><span>0.20</span><span>0.80</span>") && legend.contains("a &lt;weight"));
        assert!(Scale::signed([0.8]).legend("").contains("<span>−0.80</span>"));
    }
}
