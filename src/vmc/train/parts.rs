//! Time of the parts of a training step.

use crate::error::Result;
use crate::gpu::Profile;
use crate::vmc::Trainer;

/// Time of a part of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct PartTime {
    /// Name as in the journey in ARCHITECTURE.md: `sample`, `moves`, `energy`, `forward`, `backward`, `update`.
    /// Stochastic reconfiguration also has `jacobian`, `gram`, `momentum` and `solve`, the linear system on the host.
    pub name: &'static str,
    /// Milliseconds of all its launches. Launches are timed separately, so the parts add up to somewhat more than a
    /// step.
    pub milliseconds: f64,
}

impl Trainer {
    /// Takes a step, replays its plans launch by launch, and returns the time of each part in the order of first
    /// launches.
    ///
    /// The replays change weights and moments, so training cannot continue afterwards.
    ///
    /// # Errors
    /// As [`crate::vmc::Steps`] and [`crate::gpu::Plan::profile`].
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
