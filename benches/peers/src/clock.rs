//! Times of two engines measured alternately, so that other load on the machine affects both.

use std::time::{Duration, Instant};

use crate::engine::{Form, Result};

/// Minimum duration of a timed run in milliseconds, so that the wait at its end is a small part.
const RUN_MS: f64 = 50.0;

/// Maximum number of calls per run.
const MOST_CALLS: f64 = 256.0;

/// Minimum number of rounds, and maximum number of seconds that warm-up runs of a variant begin after.
const LEAST_ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(2);

/// Times of one variant of each engine, run by run, in milliseconds per call.
pub struct Pairs {
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
}

/// How often the variants of two engines run.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Number of rounds.
    pub runs: usize,
    /// Time after which no round begins, if there were enough for quartiles.
    pub most: Duration,
}

/// Quantile `part` of the values, linearly interpolated.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// Quartiles: first, median, third.
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    [0.25, 0.5, 0.75].map(|part| quantile(values, part))
}

/// Milliseconds per call of a run of `calls` calls with a single wait.
pub fn time(form: &mut dyn Form, calls: usize) -> Result<f64> {
    let start = Instant::now();
    form.run(calls)?;
    Ok(start.elapsed().as_secs_f64() * 1e3 / calls as f64)
}

/// Runs a variant until it is compiled, tuned and warm: at most `warmup` times, fewer if it is slow. Returns its times in
/// milliseconds per call.
pub fn warm(form: &mut dyn Form, warmup: usize) -> Result<Vec<f64>> {
    // The first run compiles and tunes.
    form.run(1)?;
    let (start, mut times) = (Instant::now(), vec![time(form, 1)?]);
    while times.len() < warmup && start.elapsed() < WARM_UP {
        times.push(time(form, 1)?);
    }
    Ok(times)
}

/// Number of calls of `ms` milliseconds that make a run long enough.
pub fn calls(ms: f64) -> usize {
    (RUN_MS / ms).ceil().clamp(1.0, MOST_CALLS) as usize
}

/// Runs each engine once per round, alternately; the order changes with each round.
pub fn pairs(ours: &mut dyn Form, theirs: &mut dyn Form, calls: [usize; 2], rounds: Rounds) -> Result<Pairs> {
    let mut pairs = Pairs { ours: Vec::with_capacity(rounds.runs), theirs: Vec::with_capacity(rounds.runs) };
    let [our_calls, their_calls] = calls;
    // A plan of this many calls was not recorded before.
    ours.run(our_calls)?;
    theirs.run(their_calls)?;
    let start = Instant::now();
    for run in 0..rounds.runs {
        if run >= LEAST_ROUNDS && start.elapsed() > rounds.most {
            break;
        }
        if run % 2 == 0 {
            pairs.ours.push(time(ours, our_calls)?);
            pairs.theirs.push(time(theirs, their_calls)?);
        } else {
            pairs.theirs.push(time(theirs, their_calls)?);
            pairs.ours.push(time(ours, our_calls)?);
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A form that counts its calls.
    #[derive(Default)]
    struct Counted {
        calls: usize,
        runs: usize,
    }

    impl Form for Counted {
        fn name(&self) -> String {
            String::new()
        }

        fn run(&mut self, calls: usize) -> Result<()> {
            (self.calls, self.runs) = (self.calls + calls, self.runs + 1);
            Ok(())
        }

        fn read(&mut self) -> Result<Vec<Vec<f32>>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn quantiles_are_between_the_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((quartiles(&values), quantile(&values, 0.0), quantile(&values, 1.0)), ([1.75, 2.5, 3.25], 1.0, 4.0));
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
    }

    #[test]
    fn short_calls_are_timed_together() {
        assert_eq!([calls(100.0), calls(20.0), calls(1e-6)], [1, 3, 256]);
    }

    #[test]
    fn both_engines_run_in_every_round_and_slow_ones_in_few() {
        let (mut ours, mut theirs) = (Counted::default(), Counted::default());
        let rounds = Rounds { runs: 8, most: Duration::from_secs(3600) };
        let pairs = pairs(&mut ours, &mut theirs, [3, 2], rounds).unwrap();
        assert_eq!([pairs.ours.len(), pairs.theirs.len()], [8; 2]);
        assert_eq!([ours.calls, ours.runs, theirs.calls, theirs.runs], [27, 9, 18, 9]);
        let few = super::pairs(&mut ours, &mut theirs, [1; 2], Rounds { most: Duration::ZERO, ..rounds }).unwrap();
        assert_eq!([few.ours.len(), few.theirs.len()], [LEAST_ROUNDS; 2]);
    }
}
