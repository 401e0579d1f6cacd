//! Patches of a lattice as SVG shapes shared by several figures, and their labels.

use super::super::markup::coordinate;
use super::places::{CELL, SitePositions};

/// Font size of the labels in points on a phone.
const LETTERS: f64 = 11.0;

/// Column, row, width and height in sites.
type Rectangle = [usize; 4];

/// Patches of a lattice.
pub(in super::super) struct Patches<'a> {
    pub places: &'a SitePositions,
    /// Sites of each patch.
    pub patches: &'a [Vec<usize>],
}

impl Patches<'_> {
    /// Rectangles that cover the sites of a patch.
    fn rectangles(&self, patch: usize) -> Vec<Rectangle> {
        let mut cells: Vec<[usize; 2]> = self.patches[patch].iter().map(|site| self.places.of(*site)).collect();
        cells.sort_unstable();
        // Runs down each column, then runs with the same rows are merged to the right.
        let mut runs: Vec<Rectangle> = Vec::new();
        for [column, row] in cells {
            match runs.last_mut() {
                Some([x, y, _, height]) if *x == column && *y + *height == row => *height += 1,
                _ => runs.push([column, row, 1, 1]),
            }
        }
        let mut merged: Vec<Rectangle> = Vec::new();
        for [column, row, _, height] in runs {
            let before = merged.iter_mut().find(|[x, y, width, h]| x + width == column && [*y, *h] == [row, height]);
            match before {
                Some(rectangle) => rectangle[2] += 1,
                None => merged.push([column, row, 1, height]),
            }
        }
        merged
    }

    /// Definitions of the shapes `patch-0`, `patch-1`, … of the patches and `patch-lines` of their borders, for use by
    /// other figures.
    pub(in super::super) fn shapes(&self) -> String {
        let mut shapes = String::from("<defs>\n");
        for patch in 0..self.patches.len() {
            let path: String = self.rectangles(patch).into_iter().map(path).collect();
            shapes += &format!("<path id=\"patch-{patch}\" d=\"{path}\"/>\n");
        }
        format!("{shapes}<path id=\"patch-lines\" d=\"{}\"/>\n</defs>\n", self.lines())
    }

    /// Borders between sites of different patches.
    fn lines(&self) -> String {
        let (columns, rows) = (self.places.columns, self.places.rows);
        let mut owner = vec![None; columns * rows];
        for (patch, sites) in self.patches.iter().enumerate() {
            for [column, row] in sites.iter().map(|site| self.places.of(*site)) {
                owner[row * columns + column] = Some(patch);
            }
        }
        let at = |column: usize, row: usize| {
            (column < columns && row < rows).then(|| owner[row * columns + column]).flatten()
        };
        let mut path = String::new();
        for row in 0..=rows {
            for column in 0..=columns {
                let here = at(column, row);
                let [x, y] = [column, row].map(|at| coordinate(at as f64 * CELL));
                if here != column.checked_sub(1).and_then(|before| at(before, row)) {
                    path += &format!("M{x} {y}v{CELL}");
                }
                if here != row.checked_sub(1).and_then(|before| at(column, before)) {
                    path += &format!("M{x} {y}h{CELL}");
                }
            }
        }
        path
    }

    /// Labels of the patches, placed in the first rectangle of each. If they do not fit, only every second column, or
    /// fewer, is labeled.
    pub(in super::super) fn names(&self) -> String {
        let letters = self.places.letters(LETTERS);
        let letters_of_name = format!("P{}", self.patches.len().saturating_sub(1)).len();
        let wide = 0.62 * letters * letters_of_name as f64;
        let mut texts = String::new();
        for patch in 0..self.patches.len() {
            let Some([column, row, width, height]) = self.rectangles(patch).first().copied() else { continue };
            let every = (wide / (width as f64 * CELL)).ceil() as usize;
            if (column / width) % every.max(1) != 0 {
                continue;
            }
            // Shifted from the middle if the label extends into the next column.
            let shift = 0.5 * every.max(1) as f64;
            let x = coordinate((column as f64 + shift * width as f64) * CELL);
            let y = coordinate((row as f64 + 0.5 * height as f64) * CELL + 0.36 * letters);
            let size = coordinate(letters);
            texts += &format!("<text class=\"name\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\">P{patch}</text>\n");
        }
        texts
    }
}

fn path([column, row, width, height]: Rectangle) -> String {
    let [x, y, width, height] = [column, row, width, height].map(|cells| coordinate(cells as f64 * CELL));
    format!("M{x} {y}h{width}v{height}h-{width}z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Lattice, Patch, Patching};

    fn with<T>(lattice: Lattice, patch: Patch, of: impl Fn(Patches<'_>) -> T) -> T {
        let patching = Patching::new(lattice, patch).unwrap();
        let patches: Vec<Vec<usize>> =
            patching.site_of().chunks(patching.sites_per_patch()).map(<[usize]>::to_vec).collect();
        of(Patches { places: &SitePositions::new(&lattice), patches: &patches })
    }

    #[test]
    fn blocks_are_one_rectangle_and_broken_lines_are_several() {
        with(Lattice::square(4, 6), Patch::Block([2, 3]), |patches| {
            assert_eq!(patches.rectangles(1), [[0, 3, 2, 3]]);
            assert_eq!(patches.rectangles(2), [[2, 0, 2, 3]]);
            assert_eq!(patches.names().matches("<text").count(), 4);
        });
        // Sites 4 to 7 in columns of three: the last two of one column, the first two of the next.
        with(Lattice::square(4, 3), Patch::Line(4), |patches| {
            assert_eq!(patches.rectangles(1), [[1, 1, 1, 2], [2, 0, 1, 2]]);
        });
    }

    #[test]
    fn lines_are_around_every_patch() {
        let lines = |lattice, patch| with(lattice, patch, |patches| patches.lines().matches('M').count());
        // Each of the 16 sites has its own border: 5·4 vertical and 4·5 horizontal lines. Blocks of 2x2: 3·4 each.
        assert_eq!(lines(Lattice::square(4, 4), Patch::Line(1)), 40);
        assert_eq!(lines(Lattice::square(4, 4), Patch::Block([2, 2])), 24);
        assert_eq!(lines(Lattice::chain(6), Patch::Line(3)), 3 + 12);
    }

    #[test]
    fn names_that_would_overlap_are_left_out() {
        with(Lattice::square(16, 16), Patch::Line(1), |patches| {
            assert_eq!(patches.names().matches("<text").count(), 128);
        });
    }
}
