//! Heat map of a matrix of weights with labeled rows and columns.

use super::super::markup::coordinate;
use super::pixels;
use super::scale::Scale;
use crate::plot_style::Fault;

/// Space for the row labels and for the column labels.
const ROOM: [f64; 2] = [30.0, 16.0];
/// Width and height of a label.
const NAME: [f64; 2] = [30.0, 13.0];

/// Distance between the chosen row and its outline.
const AROUND: f64 = 0.75;

/// Square matrix of weights.
pub(in super::super) struct HeatMap<'a> {
    /// Values (T, T) in row-major order.
    pub values: &'a [f64],
    /// Side length of the matrix in points.
    pub side: f64,
    pub rows: &'a [String],
    pub columns: &'a [String],
    pub scale: Scale,
    /// Index of the outlined row.
    pub chosen: usize,
    /// Text alternative for screen readers.
    pub label: &'a str,
}

impl HeatMap<'_> {
    /// Width of the heat map of a matrix with this side length, in points.
    pub(in super::super) fn width(side: f64) -> f64 {
        ROOM[0] + side + 2.0
    }

    /// Part of this width to the left of the matrix, in percent.
    pub(in super::super) fn room(side: f64) -> f64 {
        100.0 * ROOM[0] / Self::width(side)
    }

    /// Draws the heat map. Its rows are selectable.
    ///
    /// # Errors
    /// Those of the PNG encoder.
    pub(in super::super) fn svg(&self) -> Result<String, Fault> {
        let [left, top] = ROOM;
        let (side, width) = (self.side, Self::width(self.side));
        let cell = side / self.rows.len() as f64;
        let address = pixels::address(self.values, self.columns.len(), &self.scale)?;
        let mut svg = format!(
            "<svg class=\"map\" viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"{}\">\n\
             <image href=\"{address}\" x=\"{left}\" y=\"{top}\" width=\"{side}\" height=\"{side}\" preserveAspectRatio=\"none\"/>\n\
             <rect class=\"border\" x=\"{left}\" y=\"{top}\" width=\"{side}\" height=\"{side}\"/>\n",
            top + side + 2.0,
            self.label,
        );
        let [every_column, every_row] = NAME.map(|size| (size / cell).ceil() as usize);
        for (at, name) in self.rows.iter().enumerate().step_by(every_row) {
            let y = coordinate(top + (at as f64 + 0.5) * cell + 4.0);
            svg += &format!("<text class=\"axis end\" x=\"{}\" y=\"{y}\">{name}</text>\n", left - 5.0);
        }
        // A label that would extend beyond the matrix is left out.
        let labeled = (0..self.columns.len()).filter(|at| every_column == 1 || *at as f64 * cell + NAME[0] <= side);
        for (at, name) in labeled.step_by(every_column).map(|at| (at, &self.columns[at])) {
            // A label that is wider than its column starts at the left edge of the column.
            let (class, shift) = if every_column == 1 { ("axis middle", 0.5 * cell) } else { ("axis", 0.0) };
            let x = coordinate(left + at as f64 * cell + shift);
            svg += &format!("<text class=\"{class}\" x=\"{x}\" y=\"{}\">{name}</text>\n", top - 5.0);
        }
        svg += &format!(
            "<rect class=\"chosen\" data-around=\"{AROUND}\" data-row=\"{}\" x=\"{left}\" y=\"{}\" width=\"{side}\" height=\"{}\"/>\n</svg>\n",
            coordinate(cell),
            coordinate(top + self.chosen as f64 * cell - AROUND),
            coordinate(cell + 2.0 * AROUND),
        );
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("P{at}")).collect()
    }

    fn svg(count: usize) -> String {
        let values = vec![0.5; count * count];
        let scale = Scale::positive([0.5]);
        let (rows, columns) = (names(count), names(count));
        HeatMap { values: &values, side: 180.0, rows: &rows, columns: &columns, scale, chosen: 1, label: "weights" }
            .svg()
            .unwrap()
    }

    #[test]
    fn a_matrix_is_one_image_with_names_that_do_not_overlap() {
        assert_eq!((svg(4).matches("<image").count(), svg(4).matches("<text").count()), (1, 8));
        assert!(svg(4).contains("data-row=\"45\" x=\"30\" y=\"60.25\""));
        let large = svg(256);
        let written = large.matches("<text").count();
        assert!((10..=22).contains(&written), "{written}");
        assert!(large.len() < 6000, "{}", large.len());
    }
}
