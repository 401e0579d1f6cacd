//! Scaling curves: times against the number of sites, with fitted power laws.

use serde::{Deserialize, Serialize};

/// Minimum number of fitted sizes; the fitted sizes have at least a quarter of the sites of the largest.
const LEAST_FITTED: usize = 3;
const FITTED_PART: f64 = 0.25;

/// Time of one pass of a family against the number of sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ScalingCurve {
    /// Family of wave functions.
    pub family: String,
    /// Name of the pass.
    pub pass: String,
    /// Number of sites and milliseconds per sample in the fastest run, sorted by sites.
    pub points: Vec<[f64; 2]>,
    /// Number of parameters of the wave function at each of these points.
    #[serde(default)]
    pub parameters: Vec<u64>,
    /// Fitted power law, if there are enough points.
    pub fit: Option<PowerLaw>,
}

impl ScalingCurve {
    /// Kind of pass, and its method if it is not the default one.
    pub(super) fn kind(&self) -> (&str, Option<&str>) {
        self.pass.split_once(", ").map_or((&self.pass, None), |(kind, how)| (kind, Some(how)))
    }
}

/// Power law factor · N^exponent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PowerLaw {
    /// Milliseconds per sample at one site.
    pub factor: f64,
    /// Exponent.
    pub exponent: f64,
    /// Standard error of the exponent, from the residuals of the fit.
    pub error: f64,
    /// Number of sites of the smallest fitted size.
    pub from: f64,
}

impl PowerLaw {
    /// Fits the logarithms of `points` by least squares; `None` for fewer than three points or if all have the same
    /// size.
    fn through(points: &[[f64; 2]]) -> Option<Self> {
        let count = points.len() as f64;
        let logarithms: Vec<[f64; 2]> = points.iter().map(|point| point.map(f64::ln)).collect();
        let mean = |k: usize| logarithms.iter().map(|point| point[k]).sum::<f64>() / count;
        let (x, y) = (mean(0), mean(1));
        let squares: f64 = logarithms.iter().map(|point| (point[0] - x).powi(2)).sum();
        let products: f64 = logarithms.iter().map(|point| (point[0] - x) * (point[1] - y)).sum();
        let exponent = products / squares;
        let off = |point: &[f64; 2]| (point[1] - y - exponent * (point[0] - x)).powi(2);
        let error = (logarithms.iter().map(off).sum::<f64>() / (count - 2.0) / squares).sqrt();
        let from = points.iter().map(|point| point[0]).fold(f64::INFINITY, f64::min);
        let law = Self { factor: (y - exponent * x).exp(), exponent, error, from };
        (points.len() >= LEAST_FITTED && exponent.is_finite() && error.is_finite()).then_some(law)
    }

    /// Fits the larger sizes, where fixed costs no longer matter.
    pub(super) fn of_larger(points: &[[f64; 2]]) -> Option<Self> {
        let largest = points.last()?[0];
        let first = points.iter().position(|point| point[0] >= FITTED_PART * largest).unwrap_or(0);
        Self::through(&points[first.min(points.len().saturating_sub(LEAST_FITTED))..])
    }
}

impl std::fmt::Display for PowerLaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "N^({:.2} ± {:.2})", self.exponent, self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_found_with_its_error() {
        let points: Vec<[f64; 2]> = [16.0f64, 36.0, 64.0, 100.0].map(|n| [n, 0.5 * n.powf(1.75)]).into();
        let law = PowerLaw::through(&points).unwrap();
        assert!((law.exponent - 1.75).abs() < 1e-9 && law.error < 1e-9 && (law.factor - 0.5).abs() < 1e-9, "{law:?}");
        // Standard formula for x = 0, 1, 2 and y = 0, 1, 1: slope 1/2, standard error √(1/6 / 2).
        let e = std::f64::consts::E;
        let law = PowerLaw::through(&[[1.0, 1.0], [e, e], [e * e, e]]).unwrap();
        assert!((law.exponent - 0.5).abs() < 1e-9 && (law.error - (1.0f64 / 12.0).sqrt()).abs() < 1e-9, "{law:?}");
    }

    #[test]
    fn only_the_larger_sizes_are_fitted() {
        let mut points: Vec<[f64; 2]> = [16.0f64, 36.0, 64.0, 100.0, 144.0, 256.0].map(|n| [n, n * n]).into();
        points[0][1] = 1e9;
        let law = PowerLaw::of_larger(&points).unwrap();
        assert!((law.exponent - 2.0).abs() < 1e-9 && law.from == 64.0, "{law:?}");
        assert!(PowerLaw::of_larger(&points[..2]).is_none() && PowerLaw::of_larger(&[]).is_none());
        assert!(PowerLaw::through(&[[16.0, 1.0]; 3]).is_none(), "three times the same size");
    }
}
