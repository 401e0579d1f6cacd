//! Formatting of numbers with their significant digits.

use crate::significant::decimals;
use crate::vmc::Mean;

/// Mean with its standard error, printed with two digits of the error and the same decimals for the mean, at least 4. An
/// error that is NaN is printed as unknown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

impl From<Mean> for Measurement {
    fn from(Mean { value, error }: Mean) -> Self {
        Self { mean: value, error }
    }
}

impl Measurement {
    /// Number of decimals of both.
    pub fn decimals(&self) -> usize {
        decimals(self.error, 2, 4)
    }
}

impl std::fmt::Display for Measurement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let decimals = self.decimals();
        if self.error.is_nan() {
            return write!(f, "{:.decimals$} ± unknown", self.mean);
        }
        write!(f, "{:.decimals$} ± {:.decimals$}", self.mean, self.error)
    }
}

/// Relative error `|energy − exact| / |exact|`.
pub fn relative_error(energy: f64, exact: f64) -> f64 {
    ((energy - exact) / exact).abs()
}

/// Formats a duration of `seconds` for display: 4m50s.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_decides_the_decimals() {
        let shown = |mean, error| Measurement { mean, error }.to_string();
        assert_eq!(shown(-7.254123456, 0.00043), "-7.25412 ± 0.00043");
        assert_eq!(shown(-7.254123456, 0.0123), "-7.2541 ± 0.0123");
        assert_eq!(shown(-7.254123456, 0.000996), "-7.2541 ± 0.0010");
        assert_eq!(shown(-7.254123456, 3.0), "-7.2541 ± 3.0000");
        assert_eq!(shown(-7.254123456, 0.0), "-7.2541 ± 0.0000");
        assert_eq!(shown(-7.254123456, f64::NAN), "-7.2541 ± unknown");
    }

    #[test]
    fn durations_for_people() {
        assert_eq!([duration(4.4), duration(290.0), duration(7384.0)], ["4s", "4m50s", "2h03m"]);
    }
}
