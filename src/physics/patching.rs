//! Patching of lattices: the map between sites and (token, bit).

use std::fmt;
use std::str::FromStr;

use super::Lattice;
use crate::error::{Error, ErrorKind, Result};

/// Maximum number of sites of a patch: the categorical head has `2^P` outcomes, 4096 at this limit.
pub const MAX_SITES_PER_PATCH: usize = 12;

/// Maximum number of sites of a large patch, which is cut into sub-patches. A loop over its sites and a block of rows
/// must have fewer than the 65,535 iterations that every driver supports.
pub const MAX_SITES_PER_LARGE_PATCH: usize = 256;

/// The shape of a patch, written `4` (a line) or `2x2` (a block).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Patch {
    /// Consecutive sites in site order, as on a chain: token `t` is sites `t·p .. t·p + p`.
    Line(usize),
    /// Consecutive sites in the order `y·Lx + x`, in which the public PyTorch code of the patched transformer numbers the
    /// sites of its Rydberg lattice. It differs from that of [`Patch::Line`] if both sides are longer than 1, and on
    /// lattices that are not square so do energies.
    TransposedLine(usize),
    /// Blocks of `px` × `py` sites on the `Lx` × `Ly` lattice.
    Block([usize; 2]),
}

impl Patch {
    /// `P`, the number of sites of one patch (saturating).
    pub const fn sites(&self) -> usize {
        match *self {
            Self::Line(p) | Self::TransposedLine(p) => p,
            Self::Block([px, py]) => px.saturating_mul(py),
        }
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(p) | Self::TransposedLine(p) => write!(f, "{p}"),
            Self::Block([px, py]) => write!(f, "{px}x{py}"),
        }
    }
}

impl FromStr for Patch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let side = |part: &str| match part.trim().parse::<usize>() {
            Ok(0) => Err(Error::new(
                ErrorKind::Settings,
                format!("patch: expected sides of at least 1, got `{text}`; give for example patch=2x2 or patch=4"),
            )),
            Ok(side) => Ok(side),
            Err(cause) => Err(Error::new(
                ErrorKind::Settings,
                format!("patch: expected a length or two sides, got `{text}`; give for example patch=2x2 or patch=4"),
            )
            .caused_by(cause)),
        };
        match text.split_once(['x', 'X']) {
            Some((px, py)) => Ok(Self::Block([side(px)?, side(py)?])),
            None => Ok(Self::Line(side(text)?)),
        }
    }
}

/// A lattice cut into patches.
///
/// Blocks: token `t = (x/px)·(Ly/py) + y/py` and element `j = (x mod px)·py + y mod py`, both row-major.
/// Lines: token `t = s/p` and element `j = s mod p`; transposed lines with `y·Lx + x` instead of `s`. Bit `j` of a token is the occupation of element `j`.
///
/// A nested patching cuts the lattice into large patches and each of those into `S` sub-patches, which are the tokens:
/// token `t = l·S + s` is sub-patch `s` of large patch `l`, see [`Patching::nested`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patching {
    lattice: Lattice,
    patch: Patch,
    site_of: Vec<usize>,
    patch_of: Vec<(u32, u32)>,
    nesting: Option<Box<Nesting>>,
}

/// The two levels of a nested patching.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nesting {
    /// The lattice cut into large patches, which have more sites than a token has bits.
    large: Patching,
    /// A large patch cut into sub-patches; its sites are the elements of the large patch.
    sub: Patching,
}

impl Patching {
    /// Cuts `lattice` into patches of shape `patch`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the lattice fails [`Lattice::check`], the patch is empty, has more than
    /// [`MAX_SITES_PER_PATCH`] sites, or does not divide the lattice. The message lists patches that do.
    pub fn new(lattice: Lattice, patch: Patch) -> Result<Self> {
        lattice.check()?;
        let sites = patch.sites();
        if sites > MAX_SITES_PER_PATCH {
            let fault = format!(
                "expected at most {MAX_SITES_PER_PATCH} sites in a patch, since the head has 2^P outcomes, got {patch} \
                 with {sites}"
            );
            return Err(misfit(&lattice, patch, MAX_SITES_PER_PATCH, &fault));
        }
        Self::cut(lattice, patch, MAX_SITES_PER_PATCH)
    }

    /// Cuts `lattice` into large patches of shape `large` and each of them into sub-patches of shape `sub`.
    ///
    /// The elements of a large patch are, in order, the sites of a small lattice: `px` × `py` for a block; for a line
    /// of `p` sites a chain, or a square if it is cut into blocks. A large patch has at most
    /// [`MAX_SITES_PER_LARGE_PATCH`] sites, a sub-patch at most [`MAX_SITES_PER_PATCH`].
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] as [`Patching::new`], for either level.
    pub fn nested(lattice: Lattice, large: Patch, sub: Patch) -> Result<Self> {
        lattice.check()?;
        if large.sites() > MAX_SITES_PER_LARGE_PATCH {
            let fault = format!("expected at most {MAX_SITES_PER_LARGE_PATCH} sites in a large patch, got {large}");
            return Err(misfit(&lattice, large, MAX_SITES_PER_LARGE_PATCH, &fault));
        }
        let cut = Self::cut(lattice, large, MAX_SITES_PER_LARGE_PATCH)?;
        let inside = match (large, sub) {
            (Patch::Block([px, py]), _) => Lattice::square(px, py),
            (Patch::Line(p) | Patch::TransposedLine(p), Patch::Line(_) | Patch::TransposedLine(_)) => Lattice::chain(p),
            (Patch::Line(p) | Patch::TransposedLine(p), Patch::Block(_)) => {
                let side = p.isqrt();
                if side * side != p {
                    let message = format!(
                        "patch: sub-patches of {sub} need a large patch with two sides, got a line of {p} sites, which \
                         is no square; give a block as the large patch or a length as the sub-patch"
                    );
                    return Err(Error::new(ErrorKind::Settings, message));
                }
                Lattice::square(side, side)
            }
        };
        let sub = Self::new(inside, sub).map_err(|cause| {
            let message = format!("sub-patches of a large patch of {large}: {cause}");
            Error::new(ErrorKind::Settings, message)
        })?;
        let (p, fine) = (large.sites(), sub.sites_per_patch());
        let site_of = (0..lattice.sites()).map(|at| cut.site_of[at / p * p + sub.site_of[at % p]]).collect::<Vec<_>>();
        let mut patch_of = vec![(0, 0); lattice.sites()];
        for (at, site) in site_of.iter().enumerate() {
            patch_of[*site] = ((at / fine) as u32, (at % fine) as u32);
        }
        let patch = sub.patch;
        Ok(Self { lattice, patch, site_of, patch_of, nesting: Some(Box::new(Nesting { large: cut, sub })) })
    }

    /// Cuts a lattice without a limit on the sites of a patch. Errors list patches of up to `most` sites.
    fn cut(lattice: Lattice, patch: Patch, most: usize) -> Result<Self> {
        let fault = |fault: String| Err(misfit(&lattice, patch, most, &fault));
        let sites_per_patch = patch.sites();
        if sites_per_patch == 0 {
            return fault(format!("expected sides of at least 1, got {patch}"));
        }
        let place: Box<dyn Fn(usize) -> (usize, usize)> = match patch {
            Patch::Line(p) | Patch::TransposedLine(p) => {
                if !lattice.sites().is_multiple_of(p) {
                    return fault(format!(
                        "{p} does not divide the {} sites of the {lattice} lattice",
                        lattice.sites()
                    ));
                }
                let is_transposed = matches!(patch, Patch::TransposedLine(_));
                Box::new(move |site| {
                    let (x, y) = lattice.position(site);
                    let at = if is_transposed { y * lattice.lx + x } else { site };
                    (at / p, at % p)
                })
            }
            Patch::Block([px, py]) => {
                for (axis, side, length) in [("x", px, lattice.lx), ("y", py, lattice.ly)] {
                    if !length.is_multiple_of(side) {
                        return fault(format!(
                            "{patch} does not divide the {lattice} lattice, {side} does not divide L{axis}={length}"
                        ));
                    }
                }
                Box::new(move |site| {
                    let (x, y) = lattice.position(site);
                    ((x / px) * (lattice.ly / py) + y / py, (x % px) * py + y % py)
                })
            }
        };
        let mut site_of = vec![0; lattice.sites()];
        let mut patch_of = Vec::with_capacity(lattice.sites());
        for site in 0..lattice.sites() {
            let (t, j) = place(site);
            site_of[t * sites_per_patch + j] = site;
            // Both are below the number of sites, which fits in u32.
            patch_of.push((t as u32, j as u32));
        }
        Ok(Self { lattice, patch, site_of, patch_of, nesting: None })
    }

    /// The lattice that is cut into patches.
    pub fn lattice(&self) -> Lattice {
        self.lattice
    }

    /// Shape of the patches, or of the sub-patches if nested.
    pub fn patch(&self) -> Patch {
        self.patch
    }

    /// `N`, the number of sites of the lattice.
    pub fn sites(&self) -> usize {
        self.site_of.len()
    }

    /// `T`, the number of tokens of a configuration.
    pub fn patches(&self) -> usize {
        self.site_of.len() / self.sites_per_patch()
    }

    /// `P`, the number of sites of a patch, at most [`MAX_SITES_PER_PATCH`].
    pub fn sites_per_patch(&self) -> usize {
        self.patch.sites()
    }

    /// `V = 2^P`, the number of values of a token.
    pub fn outcomes(&self) -> usize {
        1 << self.sites_per_patch()
    }

    /// `[Lx/px, Ly/py]`, the grid of the tokens, for blocks. `None` for lines, and if nested, since the sub-patches of
    /// a large patch are consecutive.
    pub(crate) fn grid(&self) -> Option<[usize; 2]> {
        match self.patch {
            Patch::Block([px, py]) if self.nesting.is_none() => Some([self.lattice.lx / px, self.lattice.ly / py]),
            _ => None,
        }
    }

    /// `S`, the number of sub-patches of a large patch; `None` if not nested.
    pub fn sub_patches(&self) -> Option<usize> {
        self.nesting.as_ref().map(|nesting| nesting.sub.patches())
    }

    /// The lattice cut into large patches, and a large patch cut into sub-patches; `None` if not nested. The patches of
    /// the first have more sites than a token has bits, so only its site order and its grid are meaningful.
    pub(crate) fn nesting(&self) -> Option<(&Self, &Self)> {
        self.nesting.as_ref().map(|nesting| (&nesting.large, &nesting.sub))
    }

    /// Site at each position of the patch order, `[t·P + j] -> site`, length `N`.
    pub fn site_of(&self) -> &[usize] {
        &self.site_of
    }

    /// Position `(t, j)` of each site, length `N`.
    pub fn patch_of(&self) -> &[(u32, u32)] {
        &self.patch_of
    }

    /// Converts a configuration of `N` occupations in site order to `T` tokens.
    ///
    /// # Panics
    /// If `config` is not `N` zeros and ones.
    pub fn tokens(&self, config: &[u8]) -> Vec<u32> {
        assert_eq!(config.len(), self.sites(), "patching: a configuration has one occupation for each site");
        assert!(config.iter().all(|&n| n <= 1), "patching: an occupation is 0 or 1");
        let token = |sites: &[usize]| sites.iter().rev().fold(0, |token, &s| token << 1 | u32::from(config[s]));
        self.site_of.chunks_exact(self.sites_per_patch()).map(token).collect()
    }

    /// Converts a configuration of `T` tokens to `N` occupations in site order.
    ///
    /// # Panics
    /// If `tokens` is not `T` numbers below `V`.
    pub fn config(&self, tokens: &[u32]) -> Vec<u8> {
        assert_eq!(tokens.len(), self.patches(), "patching: a configuration has one token for each patch");
        assert!(tokens.iter().all(|&c| (c as usize) < self.outcomes()), "patching: a token is below 2^P");
        self.patch_of.iter().map(|&(t, j)| (tokens[t as usize] >> j & 1) as u8).collect()
    }
}

/// Error for a patch that does not fit, with the fitting patches of up to `most` sites.
fn misfit(lattice: &Lattice, patch: Patch, most: usize, fault: &str) -> Error {
    let fitting = fitting_patches(lattice, matches!(patch, Patch::Block(_)), most);
    Error::new(ErrorKind::Settings, format!("patch: {fault}; patches that fit: {fitting}"))
}

/// All patches of the requested kind that divide the lattice and have at most `most` sites, in command-line notation.
fn fitting_patches(lattice: &Lattice, blocks: bool, most: usize) -> String {
    let sides = |length: usize| (1..=most.min(length)).filter(move |side| length.is_multiple_of(*side));
    let names: Vec<String> = if blocks {
        let all = sides(lattice.lx).flat_map(|px| sides(lattice.ly).map(move |py| Patch::Block([px, py])));
        all.filter(|patch| patch.sites() <= most).map(|patch| patch.to_string()).collect()
    } else {
        sides(lattice.sites()).map(|p| p.to_string()).collect()
    };
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lattice: Lattice, px: usize, py: usize) -> Patching {
        Patching::new(lattice, Patch::Block([px, py])).unwrap()
    }

    /// Site order of the public PTF reference for 2x2 patches of a 4x4 lattice.
    #[test]
    fn two_by_two_on_four_by_four_is_the_reference_order() {
        let patching = block(Lattice::square(4, 4), 2, 2);
        assert_eq!(patching.site_of(), [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
        assert_eq!((patching.patches(), patching.sites_per_patch(), patching.outcomes()), (4, 4, 16));
        assert_eq!(patching.grid(), Some([2, 2]));
    }

    #[test]
    fn blocks_follow_the_formula_on_oblong_lattices() {
        for (lattice, px, py) in
            [(Lattice::square(4, 6), 2, 3), (Lattice::square(6, 4), 1, 4), (Lattice::square(9, 2), 3, 2)]
        {
            let patching = block(lattice, px, py);
            for x in 0..lattice.lx {
                for y in 0..lattice.ly {
                    let (t, j) = ((x / px) * (lattice.ly / py) + y / py, (x % px) * py + y % py);
                    let site = x * lattice.ly + y;
                    assert_eq!(patching.patch_of()[site], (t as u32, j as u32));
                    assert_eq!(patching.site_of()[t * px * py + j], site);
                }
            }
            assert_eq!(patching.grid(), Some([lattice.lx / px, lattice.ly / py]));
            assert_eq!(patching.patches() * patching.sites_per_patch(), lattice.sites());
        }
    }

    /// Site order of the public LPTF reference for 2x2 patches of a 4x4 lattice with sub-patches of 2: the elements of
    /// a large patch, in order, in pairs.
    #[test]
    fn nested_lines_keep_the_order_of_the_large_patches() {
        let nested = Patching::nested(Lattice::square(4, 4), Patch::Block([2, 2]), Patch::Line(2)).unwrap();
        assert_eq!(nested.site_of(), block(Lattice::square(4, 4), 2, 2).site_of());
        assert_eq!((nested.patches(), nested.sites_per_patch(), nested.sub_patches()), (8, 2, Some(2)));
        assert_eq!((nested.grid(), nested.patch_of()[5]), (None, (1, 1)));
        assert_eq!(block(Lattice::square(4, 4), 2, 2).sub_patches(), None);
    }

    /// A large patch of 4x4 is a 4x4 lattice in blocks of 2x2, independent of its position in the lattice.
    #[test]
    fn nested_blocks_lie_within_their_large_patch() {
        let lattice = Lattice::square(8, 4);
        let nested = Patching::nested(lattice, Patch::Block([4, 4]), Patch::Block([2, 2])).unwrap();
        let inside = block(Lattice::square(4, 4), 2, 2);
        let large_patch_of = |site: usize| site / lattice.ly / 4;
        for (at, site) in nested.site_of().iter().enumerate() {
            assert_eq!(large_patch_of(*site), at / 16);
            let (x, y) = lattice.position(*site);
            assert_eq!(inside.site_of()[at % 16], (x % 4) * 4 + y, "place {at}");
        }
        assert_eq!(
            (nested.patches(), nested.sub_patches(), nested.nesting().unwrap().0.grid()),
            (8, Some(4), Some([2, 1]))
        );
        // A line of 16 sites is treated as a square when cut into blocks.
        let line = Patching::nested(Lattice::chain(32), Patch::Line(16), Patch::Block([2, 2])).unwrap();
        assert_eq!(line.site_of()[16..], inside.site_of().iter().map(|site| site + 16).collect::<Vec<_>>());
    }

    #[test]
    fn sub_patches_that_do_not_fit_are_refused() {
        let message = |large, sub| Patching::nested(Lattice::square(8, 8), large, sub).unwrap_err().to_string();
        let text = message(Patch::Block([4, 4]), Patch::Block([3, 2]));
        assert!(text.contains("large patch of 4x4") && text.contains("3 does not divide Lx=4"), "{text}");
        let text = message(Patch::Block([4, 4]), Patch::Line(16));
        assert!(text.contains("at most 12") && text.ends_with("1, 2, 4, 8"), "{text}");
        let text = message(Patch::Block([3, 4]), Patch::Line(2));
        assert!(text.contains("3 does not divide Lx=8") && text.contains("8x8"), "{text}");
        assert!(message(Patch::Line(8), Patch::Block([2, 2])).contains("no square"));
        assert!(message(Patch::Line(0), Patch::Line(1)).contains("at least 1"));
        let all = Patching::nested(Lattice::square(32, 32), Patch::Block([32, 32]), Patch::Line(1)).unwrap_err();
        assert!(all.to_string().contains("at most 256") && all.to_string().contains("16x16"), "{all}");
        assert!(Patching::nested(Lattice::square(8, 8), Patch::Block([8, 8]), Patch::Block([2, 2])).is_ok());
    }

    #[test]
    fn lines_are_consecutive_sites() {
        let patching = Patching::new(Lattice::chain(12), Patch::Line(3)).unwrap();
        assert_eq!(patching.site_of(), (0..12).collect::<Vec<_>>());
        assert_eq!(patching.patch_of()[7], (2, 1));
        assert_eq!(patching.grid(), None);
        assert_eq!(patching.tokens(&[1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0]), [1, 2, 4, 3]);
    }

    /// The line runs along x first.
    #[test]
    fn transposed_lines_follow_the_public_order() {
        let patching = Patching::new(Lattice::square(2, 3), Patch::TransposedLine(2)).unwrap();
        assert_eq!(patching.site_of(), [0, 3, 1, 4, 2, 5]);
        assert_eq!((patching.patch_of()[3], patching.grid(), patching.patches()), ((0, 1), None, 3));
        for chain in [Lattice::chain(6), Lattice::square(1, 6)] {
            let of = |patch| Patching::new(chain, patch).unwrap().site_of().to_vec();
            assert_eq!(of(Patch::TransposedLine(3)), of(Patch::Line(3)));
        }
        let nested = Patching::nested(Lattice::square(2, 6), Patch::TransposedLine(4), Patch::Line(2)).unwrap();
        assert_eq!(nested.site_of(), [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]);
        assert_eq!((nested.patches(), nested.sub_patches()), (6, Some(2)));
    }

    #[test]
    fn the_first_element_is_the_least_significant_bit() {
        let patching = block(Lattice::square(4, 4), 2, 2);
        for (site, tokens) in
            [(0, [1, 0, 0, 0]), (1, [2, 0, 0, 0]), (4, [4, 0, 0, 0]), (10, [0, 0, 0, 1]), (12, [0, 0, 4, 0])]
        {
            let mut config = [0; 16];
            config[site] = 1;
            assert_eq!(patching.tokens(&config), tokens);
        }
    }

    #[test]
    fn tokens_and_configurations_round_trip() {
        let patchings = [
            block(Lattice::square(4, 4), 2, 2),
            block(Lattice::square(4, 6), 2, 3),
            block(Lattice::square(6, 4), 3, 4),
            block(Lattice::square(3, 5), 1, 1),
            Patching::new(Lattice::chain(20), Patch::Line(5)).unwrap(),
            Patching::new(Lattice::square(3, 4), Patch::Line(6)).unwrap(),
            Patching::nested(Lattice::square(4, 6), Patch::Block([4, 3]), Patch::Block([2, 3])).unwrap(),
            Patching::nested(Lattice::chain(20), Patch::Line(10), Patch::Line(5)).unwrap(),
        ];
        for patching in patchings {
            let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
            for _ in 0..50 {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let config: Vec<u8> = (0..patching.sites()).map(|i| (bits >> (i + 20) & 1) as u8).collect();
                let tokens = patching.tokens(&config);
                assert_eq!(tokens.len(), patching.patches());
                assert_eq!(patching.config(&tokens), config);
                let ones: u32 = tokens.iter().map(|token| token.count_ones()).sum();
                assert_eq!(ones, config.iter().map(|&n| u32::from(n)).sum::<u32>());
            }
        }
    }

    #[test]
    fn patches_that_do_not_fit_are_refused_with_those_that_do() {
        let message = |lattice, patch| Patching::new(lattice, patch).unwrap_err().to_string();
        let text = message(Lattice::square(4, 6), Patch::Block([2, 4]));
        assert!(text.contains("4 does not divide Ly=6") && text.contains("2x3") && !text.contains("2x4,"), "{text}");
        assert!(message(Lattice::square(4, 6), Patch::Block([3, 3])).contains("3 does not divide Lx=4"));
        let text = message(Lattice::chain(10), Patch::Line(4));
        assert!(text.contains("4 does not divide the 10 sites") && text.ends_with("1, 2, 5, 10"), "{text}");
        let text = message(Lattice::square(4, 4), Patch::Block([4, 4]));
        assert!(text.contains("at most 12") && text.contains("2^P") && text.ends_with("4x1, 4x2"), "{text}");
        assert!(message(Lattice::square(4, 4), Patch::Block([0, 2])).contains("at least 1"));
        assert!(message(Lattice::chain(4), Patch::Line(0)).contains("at least 1"));
        assert!(message(Lattice::square(4, 4), Patch::Block([usize::MAX, 2])).contains("at most 12"));
        assert!(message(Lattice::square(0, 4), Patch::Line(1)).contains("lattice"));
        assert!(Patching::new(Lattice::square(3, 4), Patch::Block([3, 4])).is_ok());
    }

    #[test]
    fn patches_are_read_and_written() {
        for (text, patch) in [("4", Patch::Line(4)), ("2x2", Patch::Block([2, 2])), ("3x1", Patch::Block([3, 1]))] {
            assert_eq!(text.parse::<Patch>().unwrap(), patch);
            assert_eq!(patch.to_string(), text);
        }
        for text in ["", "x", "2x", "x2", "0", "2x0", "-2", "2.5", "2x2x2", "two"] {
            let error = text.parse::<Patch>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            assert!(error.to_string().contains("patch=2x2"), "{error}");
        }
    }
}
