//! Positional encodings: a table (T, C) that is added to the embedded patches.
//!
//! The tables are computed once, on the host in f64: they never change, and sin and cos of some drivers are accurate to
//! only 2e-4.

use crate::physics::Patching;

/// Positional encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PositionalEncoding {
    /// The encoding of the public PyTorch code of arXiv:2306.03921: on the first n = ⌊3C/4⌋ channels, with exponents
    /// 2i/n in which i is already the channel. Its argument is the patch index for 1-D patches, and the row and column
    /// of the patch for 2-D patches.
    #[default]
    LptfCompatible,
    /// "Attention is all you need" (arXiv:1706.03762, section 3.5): sin and cos of p / 10000^(2i/C) on channels 2i and
    /// 2i + 1, with p the patch index.
    Sinusoidal,
    /// A trained table.
    Learned,
    /// None: the input at a position depends only on the previous patch, not on where it is.
    None,
}

/// p / 10000^exponent
fn angle(position: usize, exponent: f64) -> f64 {
    position as f64 / 10000f64.powf(exponent)
}

impl PositionalEncoding {
    /// Returns the table (T, C), row-major; `None` if it is trained.
    pub fn table(self, patching: &Patching, width: usize) -> Option<Vec<f32>> {
        let row = |t: usize| match (self, patching.grid()) {
            (Self::Learned, _) => None,
            (Self::None, _) => Some(vec![0.0; width]),
            (Self::Sinusoidal, _) => Some(sinusoidal_row(t, width)),
            (Self::LptfCompatible, None) => Some(reference_line(t, width)),
            (Self::LptfCompatible, Some([_, columns])) => Some(reference_grid(t / columns, t % columns, width)),
        };
        let rows: Option<Vec<_>> = (0..patching.patches()).map(row).collect();
        Some(rows?.concat().into_iter().map(|v| v as f32).collect())
    }
}

/// Row `t` of [`PositionalEncoding::Sinusoidal`] for `width` channels.
pub(crate) fn sinusoidal_row(t: usize, width: usize) -> Vec<f64> {
    let channel = |c: usize| {
        let a = angle(t, (c - c % 2) as f64 / width as f64);
        if c.is_multiple_of(2) { a.sin() } else { a.cos() }
    };
    (0..width).map(channel).collect()
}

fn reference_line(t: usize, width: usize) -> Vec<f64> {
    let n = 3 * width / 4;
    let channel = |c: usize| match c {
        _ if c >= n + n % 2 => 0.0,
        _ if c.is_multiple_of(2) => angle(t, 2.0 * c as f64 / n as f64).sin(),
        _ => angle(t, 2.0 * c as f64 / n as f64).cos(),
    };
    (0..width).map(channel).collect()
}

fn reference_grid(x: usize, y: usize, width: usize) -> Vec<f64> {
    let n = 3 * width / 4;
    let channel = |c: usize| {
        if c >= n.next_multiple_of(4) {
            return 0.0;
        }
        let along = if c % 4 < 2 { x } else { y };
        let first = c - c % 2;
        let a = |exponent: usize| angle(along, 2.0 * exponent as f64 / n as f64);
        // Both sines use the exponent of the group's first channel, both cosines that of its second channel.
        let group = first - first % 4;
        if c.is_multiple_of(2) { a(group).sin() } else { a(group + 1).cos() }
    };
    (0..width).map(channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Lattice, Patch};

    #[test]
    fn the_textbook_table_is_that_of_the_paper() {
        let patching = Patching::new(Lattice::chain(6), Patch::Line(1)).unwrap();
        let table = PositionalEncoding::Sinusoidal.table(&patching, 8).unwrap();
        let expected = (5.0f64 / 10000f64.powf(4.0 / 8.0)).cos() as f32;
        assert_eq!(table[5 * 8 + 5], expected);
        assert_eq!(&table[..8], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn the_line_table_follows_the_reference_formula() {
        let patching = Patching::new(Lattice::chain(6), Patch::Line(2)).unwrap();
        let table = PositionalEncoding::LptfCompatible.table(&patching, 16).unwrap();
        assert_eq!(table[2 * 16 + 4], (2.0f64 / 10000f64.powf(8.0 / 12.0)).sin() as f32);
        assert_eq!(table[2 * 16 + 5], (2.0f64 / 10000f64.powf(10.0 / 12.0)).cos() as f32);
        assert!(table[2 * 16 + 12..3 * 16].iter().all(|v| *v == 0.0));
    }

    #[test]
    fn without_an_encoding_positions_do_not_differ() {
        let patching = Patching::new(Lattice::square(2, 3), Patch::Block([1, 1])).unwrap();
        assert_eq!(PositionalEncoding::None.table(&patching, 4).unwrap(), vec![0.0; 6 * 4]);
    }
}
