//! Ranges of a coupling, `0:3:0.25`.

use ketformer::{Error, ErrorKind, Result};

/// Maximum number of points of a range.
const MOST_POINTS: usize = 1000;
/// Tolerance, in steps, within which the end counts as a point of the range.
const ROUNDING: f64 = 1e-9;

/// Range of a coupling: first value, step and number of points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    first: f64,
    step: f64,
    count: usize,
}

impl Range {
    /// Parses `first:last:step`, both ends included. Returns `None` if the text has no colon.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the text has a colon and is not a range.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if !text.contains(':') {
            return Ok(None);
        }
        let fault = |what: &str| {
            let message = format!("sweep: {text} {what}; write first:last:step, as in 0:3:0.25");
            Error::new(ErrorKind::Settings, message)
        };
        let numbers: Option<Vec<f64>> = text.split(':').map(|number| number.parse().ok()).collect();
        let [first, last, step] = numbers
            .and_then(|numbers| <[f64; 3]>::try_from(numbers).ok())
            .filter(|numbers| numbers.iter().all(|number| number.is_finite()))
            .ok_or_else(|| fault("is not three numbers"))?;
        let steps = (last - first) / step;
        if !steps.is_finite() || steps < 0.0 {
            return Err(fault("never comes to its end"));
        }
        let count = (steps + ROUNDING).floor() as usize + 1;
        if count > MOST_POINTS {
            return Err(fault("has more than 1000 points"));
        }
        Ok(Some(Self { first, step, count }))
    }

    /// Values of the range, rounded to ten decimals.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let Self { first, step, count } = *self;
        (0..count).map(move |i| {
            let value = first + i as f64 * step;
            // 0 has no sign.
            format!("{value:.10}").parse().unwrap_or(value) + 0.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_a_range() {
        let values = |text: &str| Range::parse(text).unwrap().unwrap().values().collect::<Vec<f64>>();
        assert_eq!(values("0:3:0.25").len(), 13);
        assert_eq!(values("0:0.3:0.1"), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(values("1:-1:-0.5"), [1.0, 0.5, 0.0, -0.5, -1.0]);
        assert_eq!(values("0:1:0.4"), [0.0, 0.4, 0.8]);
        let signs = values("-2:2:1").into_iter().chain(values("-0.3:0:0.1")).map(|value| value.to_string());
        assert_eq!(signs.collect::<Vec<_>>().join(" "), "-2 -1 0 1 2 -0.3 -0.2 -0.1 0");
        assert_eq!(values("2:2:1"), [2.0]);
        assert_eq!(Range::parse("1.5").unwrap(), None);
        for text in ["0:3", "0:3:", "a:3:1", "0:3:0", "0:3:-1", "0:inf:1", "0:1:1e-9", "0:1:1:1"] {
            let message = Range::parse(text).unwrap_err().to_string();
            assert!(message.contains("0:3:0.25") && message.contains(text), "{message}");
        }
    }
}
