//! Formatting of text and numbers for HTML and SVG.

use std::fmt::Display;

pub(super) use crate::page::{escaped, figure};
use crate::plot_style::typographic;
use crate::run::{Measurement, significant};

/// Coordinate, length or opacity with as few digits as necessary; 0 if it is not finite, which SVG does not allow.
pub(super) fn coordinate(value: f64) -> String {
    if !value.is_finite() {
        return "0".into();
    }
    let text = format!("{value:.3}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".into(),
        short => short.into(),
    }
}

/// Number with `digits` significant digits, a minus sign and powers of ten; "unknown" if it is not finite.
pub(super) fn shown(value: f64, digits: usize) -> String {
    match value.is_finite() {
        true => typographic(&significant(value, digits)),
        false => "unknown".into(),
    }
}

/// Number with its error, with minus signs; "unknown" for what is not a number.
pub(super) fn measured(number: Measurement) -> String {
    number.to_string().replace('-', "−").replace("NaN", "unknown")
}

/// Table of a class with two columns; the cells are HTML.
pub(super) fn table<Name: Display>(class: &str, caption: &str, rows: &[(Name, String)]) -> String {
    let row = |(name, value): &(Name, String)| format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n");
    let rows: String = rows.iter().map(row).collect();
    format!("<table class=\"{class}\">\n<caption>{caption}</caption>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_finite() {
        let texts = [1.0, 0.5, -0.0001, 12.3456, f64::NAN, f64::INFINITY].map(coordinate);
        assert_eq!(texts, ["1", "0.5", "0", "12.346", "0", "0"]);
    }

    #[test]
    fn numbers_that_are_none_are_unknown() {
        assert_eq!([shown(-0.5, 3), shown(2e-9, 2), shown(f64::NAN, 2)], ["−0.500", "2.0·10⁻⁹", "unknown"]);
    }
}
