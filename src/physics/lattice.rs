//! Rectangular lattices: `Lx` × `Ly` sites, spacing 1, site `s = x·Ly + y`.

use std::f64::consts::TAU;
use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Maximum number of sites of a lattice (256 × 256).
pub const MAX_SITES: usize = 65_536;

/// A rectangle of `lx` × `ly` sites with spacing 1; site `s = x·ly + y`, so `y` varies fastest.
///
/// The fields are public and unchecked, so that a lattice can be a constant. Functions that take a lattice call
/// [`Lattice::check`] first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lattice {
    /// Sites along x.
    pub lx: usize,
    /// Sites along y.
    pub ly: usize,
    /// Whether the boundaries along x and y are periodic. Bonds and distances wrap around periodic sides.
    pub periodic: [bool; 2],
}

impl Lattice {
    /// Returns a lattice of `lx` × `ly` sites with open boundaries.
    pub const fn square(lx: usize, ly: usize) -> Self {
        Self { lx, ly, periodic: [false; 2] }
    }

    /// A chain of `n` sites, that is `n` × 1.
    pub const fn chain(n: usize) -> Self {
        Self::square(n, 1)
    }

    /// Returns the same lattice with periodic boundaries along both axes.
    pub const fn periodic(self) -> Self {
        Self { periodic: [true; 2], ..self }
    }

    /// Returns the same lattice with open boundaries.
    pub const fn open(self) -> Self {
        Self { periodic: [false; 2], ..self }
    }

    /// The square lattice of `n` sites.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if `n` is not a perfect square, is zero or is more than [`MAX_SITES`].
    pub fn from_sites(n: usize) -> Result<Self> {
        let side = n.isqrt();
        if side * side != n {
            return Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "lattice: expected a perfect square number of sites, got {n}; give the sides, Lattice::lx and Lattice::ly"
                ),
            ));
        }
        let lattice = Self::square(side, side);
        lattice.check()?;
        Ok(lattice)
    }

    /// `N`, the number of sites (saturating, so that an excessive lattice does not overflow to a small one).
    pub const fn sites(&self) -> usize {
        self.lx.saturating_mul(self.ly)
    }

    /// `(x, y)` of a site.
    pub const fn position(&self, site: usize) -> (usize, usize) {
        (site / self.ly, site % self.ly)
    }

    /// `r²` between two sites, along the shorter path on periodic sides.
    pub const fn distance_squared(&self, a: usize, b: usize) -> usize {
        let ((ax, ay), (bx, by)) = (self.position(a), self.position(b));
        let (mut dx, mut dy) = (ax.abs_diff(bx), ay.abs_diff(by));
        if self.periodic[0] && 2 * dx > self.lx {
            dx = self.lx - dx;
        }
        if self.periodic[1] && 2 * dy > self.ly {
            dy = self.ly - dy;
        }
        dx * dx + dy * dy
    }

    /// The pairs of nearest neighbors, each once. A site on an axis of length one has no neighbors along it. On a
    /// periodic axis of length two both neighbors are the same site, which is one bond.
    pub fn bonds(&self) -> Vec<[usize; 2]> {
        let next = |at: usize, length: usize, periodic: bool| match at + 1 {
            next if next < length => Some(next),
            _ if periodic && length > 2 => Some(0),
            _ => None,
        };
        let of_site = |site: usize| {
            let (x, y) = self.position(site);
            let along_x = next(x, self.lx, self.periodic[0]).map(|x| [site, x * self.ly + y]);
            let along_y = next(y, self.ly, self.periodic[1]).map(|y| [site, x * self.ly + y]);
            [along_x, along_y].into_iter().flatten()
        };
        (0..self.sites()).flat_map(of_site).collect()
    }

    /// The pairs of next-nearest neighbors, each once. On a rectangle they are the diagonals of the plaquettes. On a
    /// chain (a side of one site) they are the second neighbors, which J2 of the J1-J2 chain couples. Sites that are
    /// nearest neighbors across the boundary are excluded, and two paths to the same site are one bond.
    pub fn diagonal_bonds(&self) -> Vec<[usize; 2]> {
        // On a periodic side the opposite path is shorter, equally long (and counted from the other end), or longer.
        let after = |at: usize, steps: usize, length: usize, periodic: bool| match at + steps {
            _ if periodic && length < 2 * steps => None,
            to if to < length => Some(to),
            to if periodic && length > 2 * steps => Some(to - length),
            _ => None,
        };
        let of_site = |site: usize| {
            let (x, y) = self.position(site);
            if self.lx == 1 || self.ly == 1 {
                let periodic = self.periodic[usize::from(self.ly > 1)];
                return [after(site, 2, self.sites(), periodic).map(|to| [site, to]), None];
            }
            // (x, y)–(x + 1, y + 1) and (x, y + 1)–(x + 1, y), the diagonals of the plaquette at the site.
            let (right, up) = (after(x, 1, self.lx, self.periodic[0]), after(y, 1, self.ly, self.periodic[1]));
            let corner = right.zip(up).map(|(right, up)| [right * self.ly, up]);
            [corner.map(|[right, up]| [site, right + up]), corner.map(|[right, up]| [x * self.ly + up, right + y])]
        };
        (0..self.sites()).flat_map(of_site).flatten().collect()
    }

    /// `(−1)^(x+y)`: +1 on one sublattice of the checkerboard, −1 on the other.
    pub const fn sublattice_sign(&self, site: usize) -> f64 {
        let (x, y) = self.position(site);
        if (x ^ y) & 1 == 0 { 1.0 } else { -1.0 }
    }

    /// `k·r` of every site for wave vector number `wave`, `k = 2π (a/Lx, b/Ly)` with `(a, b)` the position of site `wave`.
    pub(crate) fn phases(&self, wave: usize) -> Vec<f64> {
        let (a, b) = self.position(wave);
        let phase = |site: usize| {
            let (x, y) = self.position(site);
            TAU * ((a * x) as f64 / self.lx as f64 + (b * y) as f64 / self.ly as f64)
        };
        (0..self.sites()).map(phase).collect()
    }

    /// Checks that the lattice has at least one site and at most [`MAX_SITES`].
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] otherwise.
    pub fn check(&self) -> Result<()> {
        let (lx, ly) = (self.lx, self.ly);
        if lx == 0 || ly == 0 {
            return Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "lattice: expected both sides to be at least 1, got {lx}x{ly}; give Lattice::lx and Lattice::ly of 1 or more"
                ),
            ));
        }
        match lx.checked_mul(ly) {
            Some(sites) if sites <= MAX_SITES => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "lattice: expected at most {MAX_SITES} sites, got {lx}x{ly}; give smaller Lattice::lx and Lattice::ly"
                ),
            )),
        }
    }
}

impl fmt::Display for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.lx, self.ly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_numbered_with_y_fastest() {
        let lattice = Lattice::square(3, 5);
        assert_eq!(lattice.sites(), 15);
        assert_eq!(lattice.position(0), (0, 0));
        assert_eq!(lattice.position(4), (0, 4));
        assert_eq!(lattice.position(5), (1, 0));
        assert_eq!(lattice.position(14), (2, 4));
        assert_eq!(lattice.distance_squared(4, 5), 1 + 16);
        assert_eq!(lattice.distance_squared(5, 4), 17);
        assert_eq!(lattice.distance_squared(7, 7), 0);
        assert_eq!(
            [lattice.periodic().distance_squared(4, 5), lattice.periodic().distance_squared(0, 7)],
            [1 + 1, 1 + 4]
        );
        let signs: Vec<f64> = (0..6).map(|site| lattice.sublattice_sign(site)).collect();
        assert_eq!(signs, [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]);
        assert_eq!(Lattice::square(2, 2).sublattice_sign(3), 1.0);
        assert_eq!(Lattice::chain(7).position(6), (6, 0));
    }

    #[test]
    fn bonds_are_counted_once() {
        let count = |lx, ly, periodic| Lattice { periodic: [periodic; 2], ..Lattice::square(lx, ly) }.bonds().len();
        assert_eq!([count(4, 4, true), count(4, 4, false)], [32, 24]);
        assert_eq!([count(5, 1, true), count(5, 1, false)], [5, 4]);
        assert_eq!([count(2, 2, true), count(2, 2, false), count(2, 3, true)], [4, 4, 9]);
        assert_eq!([count(1, 1, true), count(1, 1, false)], [0, 0]);
        let mut bonds = Lattice::square(3, 4).periodic().bonds();
        assert!(
            bonds.contains(&[8, 0]) && bonds.contains(&[3, 0]) && bonds.contains(&[0, 4]) && bonds.contains(&[0, 1])
        );
        bonds.iter_mut().for_each(|bond| bond.sort_unstable());
        bonds.sort_unstable();
        bonds.dedup();
        assert_eq!(bonds.len(), 24);
    }

    #[test]
    fn diagonal_bonds_are_counted_once() {
        let count =
            |lx, ly, periodic| Lattice { periodic: [periodic; 2], ..Lattice::square(lx, ly) }.diagonal_bonds().len();
        assert_eq!([count(4, 4, true), count(4, 4, false), count(3, 5, true), count(3, 5, false)], [32, 18, 30, 16]);
        // On a side of two, the right and left neighbors are the same site.
        assert_eq!([count(2, 2, true), count(2, 2, false), count(2, 4, true), count(2, 4, false)], [2, 2, 8, 6]);
        // Second neighbors of a chain. On a ring of four each site has one; on a ring of three it is a nearest
        // neighbor.
        assert_eq!([count(6, 1, true), count(6, 1, false), count(1, 6, true)], [6, 4, 6]);
        assert_eq!([count(4, 1, true), count(3, 1, true), count(3, 1, false), count(2, 1, true)], [2, 0, 1, 0]);
        assert_eq!([count(1, 1, true), count(1, 1, false)], [0, 0]);
        for lattice in [Lattice::square(4, 4), Lattice::square(3, 3), Lattice::square(2, 3), Lattice::chain(5)] {
            let mut bonds = lattice.periodic().diagonal_bonds();
            bonds.iter_mut().for_each(|bond| bond.sort_unstable());
            bonds.sort_unstable();
            assert!(bonds.windows(2).all(|two| two[0] != two[1]), "{lattice}: {bonds:?}");
            for [a, b] in bonds {
                let ((ax, ay), (bx, by)) = (lattice.position(a), lattice.position(b));
                let around = |a: usize, b: usize, length: usize| a.abs_diff(b).min(length - a.abs_diff(b));
                let apart = [around(ax, bx, lattice.lx), around(ay, by, lattice.ly)];
                assert_eq!(apart, if lattice.ly == 1 { [2, 0] } else { [1, 1] }, "{lattice} {a} {b}");
            }
        }
    }

    #[test]
    fn a_cylinder_wraps_around_one_axis() {
        let cylinder = |periodic| Lattice { periodic, ..Lattice::square(3, 5) };
        let [along_x, along_y] = [cylinder([true, false]), cylinder([false, true])];
        assert_eq!([along_x.bonds().len(), along_y.bonds().len()], [15 + 12, 10 + 15]);
        assert_eq!([along_x.diagonal_bonds().len(), along_y.diagonal_bonds().len()], [2 * 3 * 4, 2 * 2 * 5]);
        assert!(along_x.bonds().contains(&[10, 0]) && !along_x.bonds().contains(&[4, 0]));
        assert_eq!([along_x.distance_squared(0, 14), along_y.distance_squared(0, 14)], [1 + 16, 4 + 1]);
        let chain = Lattice { periodic: [false, true], ..Lattice::chain(6) };
        assert_eq!([chain.bonds().len(), chain.diagonal_bonds().len()], [5, 4], "the side of one site is closed");
    }

    #[test]
    fn from_sites_wants_a_perfect_square() {
        assert_eq!(Lattice::from_sites(16).unwrap(), Lattice::square(4, 4));
        assert_eq!(Lattice::from_sites(1).unwrap(), Lattice::square(1, 1));
        let error = Lattice::from_sites(18).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.to_string().contains("got 18") && error.to_string().contains("Lattice::lx"), "{error}");
        assert!(Lattice::from_sites(0).is_err());
        assert!(Lattice::from_sites(usize::MAX).is_err());
        assert!(Lattice::from_sites(257 * 257).unwrap_err().to_string().contains("65536"));
    }

    #[test]
    fn absurd_lattices_are_refused() {
        assert!(Lattice::square(256, 256).check().is_ok());
        assert!(Lattice::chain(MAX_SITES).check().is_ok());
        for lattice in [Lattice::square(0, 4), Lattice::square(4, 0), Lattice::chain(0)] {
            assert!(lattice.check().unwrap_err().to_string().contains("at least 1"));
        }
        for lattice in
            [Lattice::square(257, 256), Lattice::square(usize::MAX, usize::MAX), Lattice::square(1 << 32, 1 << 32)]
        {
            assert!(lattice.check().unwrap_err().to_string().contains("65536"));
        }
    }
}
