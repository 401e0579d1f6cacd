//! Exact ground-state energies, pieces in each frame, because a page has no threads.

use std::time::Duration;

use ketformer::physics::{Lattice, ground_energy_async};
use web_time::Instant;

use crate::settings::{Couplings, Settings};
use crate::task::{Task, finished};

/// Maximum number of sites. A piece of 2^16 configurations takes milliseconds.
const MOST_SITES: usize = 16;

/// Time of the pieces in a frame.
const OF_FRAME: Duration = Duration::from_millis(4);

type Problem = (Couplings, [usize; 2]);

/// Energy per site of the present problem.
#[derive(Default)]
pub struct ExactEnergy {
    problem: Option<Problem>,
    found: Option<f64>,
    task: Option<Task<Option<f64>>>,
}

async fn energy((couplings, [lx, ly]): Problem) -> Option<f64> {
    let lattice = Lattice::square(lx, ly);
    let terms = couplings.hamiltonian().terms(&lattice).ok()?;
    Some(ground_energy_async(&terms, lattice.sites()).await.ok()? / lattice.sites() as f64)
}

/// Whether the energy of `settings` can be computed here.
pub fn is_known(settings: &Settings) -> bool {
    settings.lattice().sites() <= MOST_SITES
}

impl ExactEnergy {
    /// Energy per site of `settings`, once it is known; computes the next pieces of it. `may_begin`: whether a computation
    /// may begin now.
    pub fn of(&mut self, settings: &Settings, may_begin: bool) -> Option<f64> {
        let problem = (settings.couplings, settings.sides);
        if self.problem != Some(problem) {
            *self = Self::default();
            if !may_begin || !is_known(settings) {
                return None;
            }
            self.problem = Some(problem);
            self.task = Some(Task::new(energy(problem)));
        }
        let begin = Instant::now();
        while self.task.is_some() && begin.elapsed() < OF_FRAME {
            if let Some(found) = finished(&mut self.task) {
                self.found = found;
            }
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use ketformer::physics::ground_energy;

    use super::*;

    #[test]
    fn the_energy_is_that_of_the_present_problem() {
        let settings = Settings { sides: [2, 2], couplings: Couplings::TFIM, ..Settings::default() };
        let mut exact = ExactEnergy::default();
        assert_eq!(exact.of(&settings, false), None);
        let find = |exact: &mut ExactEnergy| {
            loop {
                if let Some(found) = exact.of(&settings, true) {
                    break found;
                }
            }
        };
        let found = find(&mut exact);
        let terms = settings.couplings.hamiltonian().terms(&settings.lattice()).unwrap();
        assert_eq!(found, ground_energy(&terms, 4).unwrap() / 4.0);
        // Another problem is not known, and the first one is again.
        assert_eq!(exact.of(&Settings { sides: [5, 5], ..settings.clone() }, true), None);
        assert_eq!(find(&mut exact), found);
    }
}
