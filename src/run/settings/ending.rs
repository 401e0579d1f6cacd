//! Recorded end of a training run, from which all statements about its end are derived.

use serde::{Deserialize, Serialize};

/// Cause of the end of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// All steps are done.
    Completed,
    /// A signal requested a stop.
    Interrupted,
    /// Too many consecutive steps were rejected.
    Rejected,
    /// The device was lost more often than allowed, or could not be opened again.
    DeviceLost,
    /// Another error ended the run, such as a full disk.
    Failed,
}

impl Ending {
    /// What happened to the run, after "the run".
    pub fn described(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Interrupted => "was interrupted",
            Self::Rejected => "ended because too many steps in a row were rejected",
            Self::DeviceLost => "ended because the device was lost",
            Self::Failed => "ended by an error",
        }
    }
}

/// End of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {
    /// Its cause.
    pub cause: Ending,
    /// Last saved step.
    pub step: u64,
}

/// Step of the weights of a run, and what is known about the run at that step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightsOrigin {
    /// Step after which the weights were saved; `None` if it is not known.
    pub step: Option<u64>,
    /// State of the run.
    pub state: RunState,
}

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// A program trains in the folder.
    InProgress,
    /// The run ended, and the cause is recorded.
    Ended(RunEnd),
    /// No program trains in the folder, and no end is recorded: the program was killed, or it was an earlier version.
    Unknown,
}

impl WeightsOrigin {
    /// Whether these are the weights after the last step of a completed run.
    pub fn is_final(&self) -> bool {
        matches!(self.state, RunState::Ended(end) if end.cause == Ending::Completed && self.step == Some(end.step))
    }

    /// What the weights are, as in "of the final weights".
    pub fn described(&self) -> String {
        if self.is_final() {
            return "the final weights".into();
        }
        let weights = match self.step {
            Some(0) => "the initial weights".into(),
            Some(step) => format!("the weights after step {step}"),
            None => "the weights in model.safetensors".into(),
        };
        match self.state {
            RunState::InProgress => format!("{weights} of a run in progress"),
            RunState::Ended(end) => format!("{weights}; the run {} after step {}", end.cause.described(), end.step),
            RunState::Unknown => format!("{weights}; no end of the run is recorded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_completed_run_has_final_weights() {
        let of = |step, state| WeightsOrigin { step, state }.described();
        let ended = |cause| RunState::Ended(RunEnd { cause, step: 9 });
        assert_eq!(of(Some(9), ended(Ending::Completed)), "the final weights");
        for (step, state, said) in [
            (Some(6), ended(Ending::Completed), "the weights after step 6; the run completed after step 9"),
            (Some(9), ended(Ending::Interrupted), "the weights after step 9; the run was interrupted after step 9"),
            (Some(0), RunState::InProgress, "the initial weights of a run in progress"),
            (Some(7), RunState::InProgress, "the weights after step 7 of a run in progress"),
            (Some(7), RunState::Unknown, "the weights after step 7; no end of the run is recorded"),
            (None, ended(Ending::Completed), "the weights in model.safetensors; the run completed after step 9"),
        ] {
            assert_eq!(of(step, state), said);
        }
        for cause in [Ending::Interrupted, Ending::Rejected, Ending::DeviceLost, Ending::Failed] {
            assert!(!of(Some(9), ended(cause)).contains("final"), "{cause:?}");
        }
    }

    #[test]
    fn endings_are_written_as_words() {
        let end = RunEnd { cause: Ending::DeviceLost, step: 3 };
        let text = serde_json::to_string(&end).unwrap();
        assert_eq!(text, r#"{"cause":"device_lost","step":3}"#);
        assert_eq!(serde_json::from_str::<RunEnd>(&text).unwrap(), end);
        assert!(serde_json::from_str::<RunEnd>(r#"{"cause":"bored","step":3}"#).is_err());
    }
}
