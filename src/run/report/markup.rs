//! Formatting of text and numbers for HTML and SVG.

use std::fmt::Display;

use crate::plot_style::typographic;
use crate::run::{Measurement, significant};

/// Text escaped for an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

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

/// Figure of a class with its content and its caption, both HTML.
pub(super) fn figure(class: &str, inside: &str, caption: &str) -> String {
    format!("<figure class=\"{class}\">\n{inside}\n<figcaption>{caption}</figcaption>\n</figure>\n")
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
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">'&'</a> é"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt; é");
    }

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
