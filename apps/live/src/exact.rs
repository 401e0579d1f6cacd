//! Exact ground-state energies, in a thread where there are threads.

use ketformer::physics::{Lattice, ground_energy};

use crate::settings::{Couplings, Settings};

/// Maximum number of sites: a page computes within a frame.
const MOST_SITES: usize = if cfg!(target_arch = "wasm32") { 12 } else { 16 };

type Problem = (Couplings, [usize; 2]);

/// Energy per site of the present problem.
#[derive(Default)]
pub struct ExactEnergy {
    problem: Option<Problem>,
    found: Option<f64>,
    #[cfg(not(target_arch = "wasm32"))]
    running: Option<std::sync::mpsc::Receiver<Option<f64>>>,
}

fn energy((couplings, [lx, ly]): Problem) -> Option<f64> {
    let lattice = Lattice::square(lx, ly);
    let terms = couplings.hamiltonian().terms(&lattice).ok()?;
    Some(ground_energy(&terms, lattice.sites()).ok()? / lattice.sites() as f64)
}

/// Whether the energy of `settings` can be computed here.
pub fn is_known(settings: &Settings) -> bool {
    settings.lattice().sites() <= MOST_SITES
}

impl ExactEnergy {
    /// Energy per site of `settings`, once it is known. `may_begin`: whether a computation may begin now.
    pub fn of(&mut self, settings: &Settings, may_begin: bool) -> Option<f64> {
        let problem = (settings.couplings, settings.sides);
        if self.problem != Some(problem) {
            self.found = None;
            if !may_begin || !is_known(settings) {
                return None;
            }
            self.problem = Some(problem);
            self.begin(problem);
        }
        self.collect();
        self.found
    }

    #[cfg(target_arch = "wasm32")]
    fn begin(&mut self, problem: Problem) {
        self.found = energy(problem);
    }

    #[cfg(target_arch = "wasm32")]
    fn collect(&mut self) {}

    #[cfg(not(target_arch = "wasm32"))]
    fn begin(&mut self, problem: Problem) {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.running = Some(receiver);
        // The receiver is gone if another problem came first.
        std::thread::spawn(move || sender.send(energy(problem)).ok());
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn collect(&mut self) {
        if let Some(Ok(found)) = self.running.as_ref().map(std::sync::mpsc::Receiver::try_recv) {
            (self.found, self.running) = (found, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_is_that_of_the_present_problem() {
        let settings = Settings { sides: [2, 2], couplings: Couplings::TFIM, ..Settings::default() };
        let mut exact = ExactEnergy::default();
        assert_eq!(exact.of(&settings, false), None);
        let found = loop {
            match exact.of(&settings, true) {
                Some(found) => break found,
                None => std::thread::yield_now(),
            }
        };
        let terms = settings.couplings.hamiltonian().terms(&settings.lattice()).unwrap();
        assert_eq!(found, ground_energy(&terms, 4).unwrap() / 4.0);
        assert_eq!(exact.of(&Settings { sides: [5, 5], ..settings }, true), None);
    }
}
