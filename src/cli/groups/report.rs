//! Settings of `report`: samples, seed, snapshots and timed replays.

use super::eval::{SAMPLES, SEED};
use crate::cli::settings::{Group, Key, KeyKind};

/// Maximum number of snapshots in a report.
const MOST_SNAPSHOTS: u64 = 64;
/// Maximum number of replays of a step.
const MOST_RUNS: u64 = 1000;

/// Keys of `ketformer report`.
pub static GROUP: Group = Group {
    name: "report",
    about: "the report of a run",
    keys: &[
        SAMPLES,
        SEED,
        Key::new("snapshots", KeyKind::Count(0, MOST_SNAPSHOTS), "12", "", "configurations to show"),
        Key::new(
            "runs",
            KeyKind::Count(0, MOST_RUNS),
            "3",
            "",
            "timed replays of a step, for the times of its parts; 0 omits them",
        ),
    ],
};
