//! Benchmark shapes and their text format: 256x8x16x16.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Sizes of a benchmark, in the order of [`crate::bench::Subject::sizes`]; each at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchShape(pub Vec<u32>);

impl BenchShape {
    /// Returns the sizes, if there are exactly `N`.
    pub(super) fn sizes<const N: usize>(&self) -> Result<[u32; N]> {
        self.0.clone().try_into().map_err(|_| {
            let message = format!("bench: shape {self} has {} sizes, expected {N}; give another one", self.0.len());
            Error::new(ErrorKind::Settings, message)
        })
    }
}

impl FromStr for BenchShape {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Settings`] for anything but numbers from 1 to 2^31 separated by `x`.
    fn from_str(text: &str) -> Result<Self> {
        let size = |word: &str| word.trim().parse().ok().filter(|size| (1..=1u32 << 31).contains(size));
        let sizes: Option<Vec<u32>> = text.split(['x', 'X', '×', ',']).map(size).collect();
        sizes.map(Self).ok_or_else(|| {
            let message = format!("bench: `{text}` is not a shape; give sizes of at least 1 such as 256x8x16x16");
            Error::new(ErrorKind::Settings, message)
        })
    }
}

impl fmt::Display for BenchShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&sizes.join("x"))
    }
}

#[cfg(test)]
mod tests {
    use super::BenchShape;

    #[test]
    fn shapes_are_read_and_printed() {
        for (text, sizes) in [("256x8x16x16", vec![256, 8, 16, 16]), ("7", vec![7]), ("4 X 5", vec![4, 5])] {
            assert_eq!(text.parse::<BenchShape>().unwrap().0, sizes, "{text}");
        }
        assert_eq!("2,3x4".parse::<BenchShape>().unwrap().to_string(), "2x3x4");
    }

    #[test]
    fn what_is_no_shape_is_refused_with_an_example() {
        for text in ["", "x", "2x", "0x3", "-1x2", "2x99999999999", "axb", "2.5x2"] {
            let message = text.parse::<BenchShape>().unwrap_err().to_string();
            assert!(message.contains("256x8x16x16"), "{text}: {message}");
        }
    }
}
