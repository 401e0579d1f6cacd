//! Settings of the Markov chains that sample an unnormalized wave function by the Metropolis rule.

use crate::error::{Error, ErrorKind, Result};

/// Markov chains whose stationary distribution is P(σ) = ψ(σ)² / Σ ψ², without computing the normalization (Metropolis
/// et al., J. Chem. Phys. 21, 1087 (1953)). A proposal σ → σ', as likely as σ' → σ, is accepted with probability
/// min(1, ψ(σ')²/ψ(σ)²).
///
/// A sweep is N proposals. In training the chains continue from step to step. `burn_in` sweeps precede the first step,
/// and are repeated after weights are set from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Metropolis {
    /// Number of independent chains; `None` for the number of samples of a step, or of samples evaluated together.
    pub chains: Option<usize>,
    /// Sweeps between two samples of a chain.
    pub sweeps: usize,
    /// Sweeps before the first sample of a chain.
    pub burn_in: usize,
    /// Change of one proposal.
    pub proposal: Proposal,
}

/// Change that one proposal of a Markov chain makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Proposal {
    /// Flips the occupation of a random site.
    #[default]
    Flip,
    /// Exchanges the occupations of two random sites, which must differ, so that N/2 sites stay occupied. Requires an
    /// even number of sites and a Hamiltonian that consists of exchanges.
    Exchange,
}

impl Default for Metropolis {
    fn default() -> Self {
        Self { chains: None, sweeps: 10, burn_in: 100, proposal: Proposal::Flip }
    }
}

/// Maximum numbers of sweeps and chains; larger numbers are treated as typos.
const MAX_SWEEPS: usize = 10_000;
const MAX_CHAINS: usize = 1 << 17;

impl Metropolis {
    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with the setting to change.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        if let Some(chains) = self.chains.filter(|chains| !(1..=MAX_CHAINS).contains(chains)) {
            return error(format!("metropolis: chains={chains} is out of range; give 1 to {MAX_CHAINS}"));
        }
        if !(1..=MAX_SWEEPS).contains(&self.sweeps) {
            return error(format!("metropolis: sweeps={} is out of range; give 1 to {MAX_SWEEPS}", self.sweeps));
        }
        if self.burn_in > MAX_SWEEPS {
            return error(format!("metropolis: burn_in={} is out of range; give 0 to {MAX_SWEEPS}", self.burn_in));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_meaning_say_what_would_do() {
        let message = |metropolis: Metropolis| metropolis.check().unwrap_err().to_string();
        Metropolis::default().check().unwrap();
        assert!(message(Metropolis { sweeps: 0, ..Metropolis::default() }).contains("sweeps=0"));
        assert!(message(Metropolis { chains: Some(0), ..Metropolis::default() }).contains("chains=0"));
        assert!(message(Metropolis { burn_in: 1 << 20, ..Metropolis::default() }).contains("burn_in=1048576"));
    }
}
