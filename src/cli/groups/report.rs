//! `report`: how much is drawn and timed for the page.

use super::train::MAX_SAMPLES;
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
        Key::new("samples", Kind::Count(2, MAX_SAMPLES), "4096", "samples", "fresh configurations to draw"),
        Key::new("seed", Kind::Seed, "1", "", "of the samples; None draws one"),
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
