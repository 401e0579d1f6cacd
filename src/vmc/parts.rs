//! Where the time of a training step goes.

use super::Trainer;
use crate::error::Result;
use crate::gpu::Profile;

/// The time of a part of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct PartTime {
    /// As in ARCHITECTURE.md's journey: `sample`, `moves`, `energy`, `forward`, `backward`, `update`; of stochastic
    /// reconfiguration also `jacobian`, `gram`, `momentum` and `solve`, the small problem on the host.
    pub name: &'static str,
    /// Milliseconds of all its launches, each timed by itself, so that the parts add up to somewhat more than a step.
    pub milliseconds: f64,
}

impl Trainer {
    /// Takes a step, and replays its plans launch by launch for the time of each part, in the order in which parts begin.
    /// Weights and moments are no longer those of the training afterwards.
    ///
    /// # Errors
    /// As [`super::Steps`] and [`crate::gpu::Plan::profile`].
    pub fn part_times(&mut self, profile: Profile) -> Result<Vec<PartTime>> {
        self.steps(1).try_for_each(|report| report.map(|_| ()))?;
        let mut parts: Vec<PartTime> = Vec::new();
        let mut add = |name: &'static str, milliseconds: f64| match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => part.milliseconds += milliseconds,
            None => parts.push(PartTime { name, milliseconds }),
        };
        for plan in self.plans() {
            plan.profile(profile)?.iter().for_each(|row| add(row.scope, row.median_ms));
        }
        if let Some(cost) = self.reconfiguration() {
            add("solve", 1e3 * cost.solve_seconds);
        }
        Ok(parts)
    }
}
