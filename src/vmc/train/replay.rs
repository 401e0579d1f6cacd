//! Replay of the plans of a step: whole, or in pieces if steps take long, so that a stop takes effect within a step.
//!
//! A step that is stopped is discarded. It has changed nothing that later steps depend on except the configurations of
//! Markov chains, which the trainer restores.

use std::cell::Cell;

use crate::error::Result;
use crate::gpu::{Pace, Plan};

/// Duration of a step in seconds above which its plans are replayed in pieces.
const SLOW: f64 = 1.0;

/// How the plans of a step are replayed.
#[derive(Default)]
pub(crate) struct Replay {
    stop: Option<Box<dyn Fn() -> bool + Send>>,
    pace: Cell<Pace>,
    slow: Cell<bool>,
}

impl Replay {
    /// Replay that `stop` can stop. The duration of the first step is not known, so it is replayed in pieces.
    pub(crate) fn stopped_by(stop: impl Fn() -> bool + Send + 'static) -> Self {
        Self { stop: Some(Box::new(stop)), pace: Cell::default(), slow: Cell::new(true) }
    }

    /// Whether a stop is requested.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop())
    }

    /// Whether plans are replayed in pieces, one step at a time.
    pub(crate) fn is_in_pieces(&self) -> bool {
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
            Some(stop) if self.slow.get() => {
                let mut pace = self.pace.get();
                let ran = plan.run_until(&mut pace, stop);
                self.pace.set(pace);
                ran
            }
            _ => plan.run().map(|()| true),
        }
    }
}
