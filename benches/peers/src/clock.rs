//! Times of two engines measured alternately, so that other load on the machine affects both.

use std::time::Instant;

use crate::engine::{Form, Result};

/// Minimum duration of a timed run in milliseconds, so that the wait at its end is a small part.
const RUN_MS: f64 = 20.0;

/// Maximum number of calls per run.
const MOST_CALLS: f64 = 256.0;

/// Times of one variant of each engine, run by run, in milliseconds per call.
pub struct Pairs {
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
}

/// Quantile `part` of the values, linearly interpolated.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Interquartile range divided by the median.
pub fn spread(values: &[f64]) -> f64 {
    (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)
}

/// Milliseconds per call of a run of `calls` calls with a single wait.
pub fn time(form: &mut dyn Form, calls: usize) -> Result<f64> {
    let start = Instant::now();
    form.run(calls)?;
    Ok(start.elapsed().as_secs_f64() * 1e3 / calls as f64)
}

/// Runs a variant until it is compiled, tuned and warm. Returns the median of its times in milliseconds per call.
pub fn warm(form: &mut dyn Form, warmup: usize) -> Result<f64> {
    // The first run compiles and tunes.
    form.run(1)?;
    let times: Result<Vec<f64>> = (0..warmup.max(1)).map(|_| time(form, 1)).collect();
    Ok(median(&times?))
}

/// Number of calls of `ms` milliseconds that make a run long enough.
pub fn calls(ms: f64) -> usize {
    (RUN_MS / ms).ceil().clamp(1.0, MOST_CALLS) as usize
}

/// Runs each engine `runs` times, alternately; the order changes with each round.
pub fn pairs(ours: &mut dyn Form, theirs: &mut dyn Form, calls: usize, runs: usize) -> Result<Pairs> {
    let mut pairs = Pairs { ours: Vec::with_capacity(runs), theirs: Vec::with_capacity(runs) };
    // A plan of this many calls was not recorded before.
    ours.run(calls)?;
    theirs.run(calls)?;
    for run in 0..runs {
        if run % 2 == 0 {
            pairs.ours.push(time(ours, calls)?);
            pairs.theirs.push(time(theirs, calls)?);
        } else {
            pairs.theirs.push(time(theirs, calls)?);
            pairs.ours.push(time(ours, calls)?);
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_between_the_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((median(&values), quantile(&values, 0.0), quantile(&values, 1.0)), (2.5, 1.0, 4.0));
        assert_eq!(median(&[7.0]), 7.0);
        assert!((spread(&values) - 1.5 / 2.5).abs() < 1e-12);
    }

    #[test]
    fn short_calls_are_timed_together() {
        assert_eq!([calls(100.0), calls(7.0), calls(1e-6)], [1, 3, 256]);
    }
}
