//! `report`: how much is drawn and timed for the page.

use super::eval::{SAMPLES, SEED};
use crate::cli::settings::{Group, Key, Kind};

/// Snapshots on a page at most.
const MOST_SNAPSHOTS: u64 = 64;
/// Replays of a step at most.
const MOST_RUNS: u64 = 1000;

/// The keys of `ketformer report`.
pub static GROUP: Group = Group {
    name: "report",
    about: "the page of a run",
    keys: &[
        SAMPLES,
        SEED,
        Key::new("snapshots", Kind::Count(0, MOST_SNAPSHOTS), "12", "", "configurations to show"),
        Key::new(
            "runs",
            Kind::Count(0, MOST_RUNS),
            "3",
            "",
            "replays of a step, for the time of its parts; 0 leaves them out",
        ),
    ],
};
