//! Positions of sites in a figure: x to the right, y downwards; a chain is broken into rows like text.

use super::super::markup::coordinate;
use crate::physics::Lattice;

/// Side length of a site in a figure.
pub(in super::super) const CELL: f64 = 24.0;

/// Width of a figure on a phone.
const NARROW: f64 = 320.0;

/// Minimum size of a site in pixels of the page.
pub(in super::super) const LEAST: usize = 7;

/// Maximum number of sites of a chain in a single row.
const ONE_ROW: usize = 24;

/// Number of sites per row of a longer chain.
const ROW: usize = 20;

/// Number of sites of a chain above which the rows grow with it.
const LONG: usize = 400;

/// Positions of sites in a figure.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct SitePositions {
    lattice: Lattice,
    /// Number of columns of the figure.
    pub columns: usize,
    /// Number of rows of the figure.
    pub rows: usize,
    chain: bool,
}

impl SitePositions {
    /// Creates the positions of the sites of a lattice.
    pub(in super::super) fn new(lattice: &Lattice) -> Self {
        let chain = lattice.lx == 1 || lattice.ly == 1;
        let sites = lattice.sites();
        let columns = match sites {
            _ if !chain => lattice.lx,
            _ if sites <= ONE_ROW => sites,
            _ if sites <= LONG => ROW,
            _ => sites.isqrt(),
        };
        let rows = if chain { sites.div_ceil(columns.max(1)) } else { lattice.ly };
        Self { lattice: *lattice, columns, rows, chain }
    }

    /// Number of sites.
    pub(in super::super) fn sites(&self) -> usize {
        self.lattice.sites()
    }

    /// Width and height of the figure.
    pub(in super::super) fn size(&self) -> [f64; 2] {
        [self.columns, self.rows].map(|cells| cells as f64 * CELL)
    }

    /// Column and row of a site.
    pub(in super::super) fn of(&self, site: usize) -> [usize; 2] {
        match self.chain {
            true => [site % self.columns, site / self.columns],
            false => self.lattice.position(site).into(),
        }
    }

    /// Center of a site in a figure.
    pub(in super::super) fn middle(&self, site: usize) -> [f64; 2] {
        self.of(site).map(|at| (at as f64 + 0.5) * CELL)
    }

    /// Name of a site for display.
    pub(in super::super) fn name(&self, site: usize) -> String {
        match (self.chain, self.lattice.position(site)) {
            (true, _) => format!("site {site}"),
            (false, (x, y)) => format!("site ({x}, {y})"),
        }
    }

    /// Site nearest to the center of the lattice.
    pub(in super::super) fn central(&self) -> usize {
        self.nearest_to_middle((0..self.lattice.sites()).map(|site| vec![site]))
    }

    /// Index of the set of sites whose center is nearest to the center of the lattice; the first if there are several.
    pub(in super::super) fn nearest_to_middle(&self, sets: impl IntoIterator<Item = Vec<usize>>) -> usize {
        let distance = |sites: &[usize]| {
            let mean = |of: fn((usize, usize)) -> usize| {
                sites.iter().map(|site| of(self.lattice.position(*site)) as f64).sum::<f64>() / sites.len() as f64
            };
            let from_middle = |mean: f64, length: usize| (mean - (length as f64 - 1.0) / 2.0).powi(2);
            from_middle(mean(|(x, _)| x), self.lattice.lx) + from_middle(mean(|(_, y)| y), self.lattice.ly)
        };
        let distances = sets.into_iter().map(|sites| distance(&sites)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
    }

    /// Description of the layout for a caption.
    pub(in super::super) fn described(&self) -> &'static str {
        match (self.chain, self.rows) {
            (true, 1) => "The chain runs to the right.",
            (true, _) => "The chain runs to the right and continues in the next row.",
            (false, _) => "x runs to the right, y downwards.",
        }
    }

    /// Font size, in units of the figure, that corresponds to `points` on a phone.
    pub(in super::super) fn letters(&self, points: f64) -> f64 {
        points * (self.size()[0] / NARROW).max(0.8)
    }

    /// Site as a circle with additional attributes and content, such as its title.
    pub(in super::super) fn disc(&self, site: usize, attributes: &str, inside: &str) -> String {
        let [x, y] = self.middle(site).map(coordinate);
        format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"10.5\" {attributes}>{inside}</circle>\n")
    }

    /// Start tag of a figure of the sites, with `room` added at the left and at the top, and additional attributes.
    pub(in super::super) fn svg(&self, class: &str, room: f64, attributes: &str) -> String {
        let [width, height] = self.size();
        // Small lattices do not fill the page, and large ones scroll horizontally.
        let most = (self.columns * 40).clamp(150, 420);
        let least = self.columns * LEAST;
        format!(
            "<svg class=\"{class}\" viewBox=\"{left} {left} {} {}\" style=\"max-width:{most}px;min-width:{least}px\" {attributes}>\n",
            width + 2.0 + room,
            height + 2.0 + room,
            left = -1.0 - room,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_is_the_column_and_y_the_row() {
        let places = SitePositions::new(&Lattice::square(3, 5));
        assert_eq!((places.columns, places.rows), (3, 5));
        assert_eq!([places.of(4), places.of(5), places.of(14)], [[0, 4], [1, 0], [2, 4]]);
        assert_eq!(places.name(5), "site (1, 0)");
        assert_eq!(places.central(), 7);
    }

    #[test]
    fn chains_of_both_kinds_are_rows() {
        for lattice in [Lattice::chain(12), Lattice::square(1, 12)] {
            let places = SitePositions::new(&lattice);
            assert_eq!((places.columns, places.rows, places.of(7)), (12, 1, [7, 0]));
        }
        let places = SitePositions::new(&Lattice::chain(50));
        assert_eq!((places.columns, places.rows, places.of(41)), (20, 3, [1, 2]));
        assert_eq!(SitePositions::new(&Lattice::chain(65_536)).columns, 256);
    }

    #[test]
    fn the_central_set_is_the_nearest_to_the_middle() {
        let places = SitePositions::new(&Lattice::square(4, 4));
        assert_eq!(places.central(), 5);
        assert_eq!(places.nearest_to_middle([vec![0, 1], vec![5, 6], vec![15]]), 1);
    }
}
