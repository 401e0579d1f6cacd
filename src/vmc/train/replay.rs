//! Replay of the plans of a step: whole, or in pieces if steps take long, so that a stop takes effect within a step.
//!
//! A step that is stopped is discarded. It has changed nothing that later steps depend on except the configurations of
//! Markov chains, which the trainer restores.

use std::cell::Cell;

use crate::error::Result;
use crate::gpu::{Pace, Plan};

/// Duration of a step in seconds above which its plans are replayed in pieces. Systems abort submissions of a few seconds.
const SLOW: f64 = 0.2;

/// How the plans of a step are replayed.
pub(crate) struct Replay {
    stop: Option<Box<dyn Fn() -> bool + Send>>,
    /// Speed for the pieces between which steps can be stopped, small ones at first.
    pace: Pace,
    slow: Cell<bool>,
}

impl Default for Replay {
    /// The duration of the first step is not known, so it is replayed in pieces.
    fn default() -> Self {
        Self { stop: None, pace: Pace::default(), slow: Cell::new(true) }
    }
}

impl Replay {
    /// Replay that `stop` can stop.
    pub(crate) fn stopped_by(stop: impl Fn() -> bool + Send + 'static) -> Self {
        Self { stop: Some(Box::new(stop)), ..Self::default() }
    }

    /// Whether a stop is requested.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop())
    }

    /// Whether plans are replayed in pieces, one step at a time.
    pub(crate) fn is_in_pieces(&self) -> bool {
        self.slow.get()
    }

    /// Whether a step can be stopped before its end.
    pub(crate) fn stops_within_steps(&self) -> bool {
        self.stop.is_some() && self.slow.get()
    }

    /// Takes the duration of a step into account.
    pub(crate) fn took(&self, seconds: f64) {
        self.slow.set(seconds > SLOW);
    }

    /// Replays `plan` and waits for it. Returns `false` if it was stopped.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub(crate) fn run(&self, plan: &Plan) -> Result<bool> {
        match &self.stop {
            Some(stop) if self.slow.get() => plan.run_until(&self.pace, stop),
            _ => plan.run().map(|()| true),
        }
    }
}
