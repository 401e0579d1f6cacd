//! Cause of the end of a training run.

use ketformer::run::Ending;

/// Finds the cause of the end from the steps. The first cause counts: steps in flight that are reported after it do not
/// change it.
#[derive(Debug, Clone)]
pub struct EndWatch {
    max_rejected_steps: u64,
    /// Number of rejected steps since the last accepted one.
    rejected: u64,
    cause: Option<Ending>,
}

impl EndWatch {
    /// Watch of a run that ends after `max_rejected_steps` consecutive rejected steps.
    pub fn new(max_rejected_steps: u64) -> Self {
        Self { max_rejected_steps, rejected: 0, cause: None }
    }

    /// Takes a step into account. Returns whether the run must end.
    pub fn step(&mut self, accepted: bool) -> bool {
        self.rejected = if accepted { 0 } else { self.rejected + 1 };
        if self.rejected >= self.max_rejected_steps {
            self.cause.get_or_insert(Ending::Rejected);
        }
        self.cause.is_some()
    }

    /// Takes a signal into account.
    pub fn interrupt(&mut self) {
        self.cause.get_or_insert(Ending::Interrupted);
    }

    /// The cause; `None` if the run continues.
    pub fn cause(&self) -> Option<Ending> {
        self.cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_counts() {
        let mut watch = EndWatch::new(2);
        let steps = [true, false, true, false];
        assert!(steps.into_iter().all(|accepted| !watch.step(accepted)));
        assert_eq!(watch.cause(), None);
        assert!(watch.step(false));
        // The step in flight is accepted, and then a signal arrives.
        assert!(watch.step(true));
        watch.interrupt();
        assert_eq!(watch.cause(), Some(Ending::Rejected));
        let mut watch = EndWatch::new(1);
        watch.interrupt();
        assert!(watch.step(false));
        assert_eq!(watch.cause(), Some(Ending::Interrupted));
    }
}
