//! How a number becomes a colour, and the legend that says so.
//!
//! A colour has one hue for each sign, and the number is its opacity, so that zero is the paper, whether that is light or dark.

use super::markup::{coordinate, escaped, shown};

/// From a number to a colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The size of a number that has the full colour.
    greatest: f64,
    /// Whether numbers have a sign.
    pub signed: bool,
    /// Whether the opacity is the root of the number's part of the greatest, so that small ones are seen beside large ones.
    root: bool,
}

impl Scale {
    /// Up to the greatest of `values`, which may be of both signs; what is not finite counts for nothing.
    pub fn signed(values: impl IntoIterator<Item = f64>) -> Self {
        Self { greatest: greatest(values), signed: true, root: false }
    }

    /// Up to the greatest of `values`, which are not negative.
    pub fn positive(values: impl IntoIterator<Item = f64>) -> Self {
        Self { greatest: greatest(values), signed: false, root: false }
    }

    /// The same, by roots.
    pub fn by_root(self) -> Self {
        Self { root: true, ..self }
    }

    /// The size of a number that has the full colour; 1 where all numbers are 0.
    pub fn greatest(&self) -> f64 {
        self.greatest
    }

    /// The opacity of a number, from 0 to 1.
    pub fn opacity(&self, value: f64) -> f64 {
        let part = (value.abs() / self.greatest).clamp(0.0, 1.0);
        match part.is_nan() {
            true => 0.0,
            false if self.root => part.sqrt(),
            false => part,
        }
    }

    /// The class of a number, which has its hue.
    pub fn class(&self, value: f64) -> &'static str {
        if self.signed && value > 0.0 { "plus" } else { "minus" }
    }

    /// Attributes of what is filled with the colour of a number.
    pub fn fill(&self, value: f64) -> String {
        let opacity = (100.0 * self.opacity(value)).round() / 100.0;
        format!("class=\"{}\" fill-opacity=\"{}\"", self.class(value), coordinate(opacity))
    }

    /// What colour is which number; `name` says what numbers they are.
    pub fn legend(&self, name: &str) -> String {
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
