//! Sector of a wave function: all configurations, or those of zero magnetization.
//!
//! In an autoregressive wave function (`sector=zero`), outcomes from which half of the sites can no longer be occupied
//! have probability 0, so that Σ P = 1 within the sector. The fourth word of a row's metadata is the number of sites
//! occupied before it. The three kernels of the categorical head derive the allowed outcomes from it
//! (`shaders/shared/sector.wgsl`). [`Model::conserves_magnetization`] reports the sector for all families, and
//! [`check_sector`] refuses Hamiltonians that leave it.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::physics::{Lattice, Terms};

/// Configurations with nonzero probability in an autoregressive wave function. Outcomes of a patch from which the
/// sector can no longer be reached have probability 0, so that Σ P = 1 inside (arXiv:2002.02973, section III.C). For
/// Hamiltonians that only exchange occupations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sector {
    /// All 2^N.
    #[default]
    All,
    /// Those with half of the sites occupied, Σ σᶻ = 0, on lattices with an even number of sites.
    ZeroMagnetization,
}

impl Sector {
    /// Checks that `lattice` has the sector.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if it requires an even number of sites and the number is odd.
    pub(crate) fn check(self, model: &str, lattice: &Lattice) -> Result<()> {
        match self {
            Self::All => Ok(()),
            Self::ZeroMagnetization => check_even(model, lattice, ["sector=zero", "sector=all"]),
        }
    }
}

/// Checks that half of the sites of `lattice` can be occupied, as the setting `setting` requires; `instead` is a
/// setting that does not require it.
///
/// # Errors
/// [`ErrorKind::Settings`] if the number of sites is odd.
pub(crate) fn check_even(model: &str, lattice: &Lattice, [setting, instead]: [&str; 2]) -> Result<()> {
    let sites = lattice.sites();
    if sites.is_multiple_of(2) {
        return Ok(());
    }
    let message = format!(
        "{model}: {setting} occupies half of the sites, and {sites} have no half; give a lattice of an even number \
         of sites, or {instead}"
    );
    Err(Error::new(ErrorKind::Settings, message))
}

/// Checks that a Hamiltonian of `terms` conserves the sector of `model` ([`Model::conserves_magnetization`]).
///
/// # Errors
/// [`ErrorKind::Settings`], with the setting to change.
pub fn check_sector(model: &dyn Model, terms: &Terms) -> Result<()> {
    if !model.conserves_magnetization() || terms.conserves_magnetization() {
        return Ok(());
    }
    let (name, instead) = (model.name(), if model.chains().is_some() { "proposal=flip" } else { "sector=all" });
    let message = format!(
        "{name}: the wave function keeps half of the sites occupied, which this Hamiltonian does not; give {instead}, \
         or a Hamiltonian that only exchanges occupations"
    );
    Err(Error::new(ErrorKind::Settings, message))
}

impl fmt::Display for Sector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::ZeroMagnetization => "zero",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_number_of_sites_has_no_half() {
        let check = |sector: Sector, sites| sector.check("ptf", &Lattice::chain(sites));
        assert!(check(Sector::ZeroMagnetization, 8).is_ok() && check(Sector::All, 9).is_ok());
        let error = check(Sector::ZeroMagnetization, 9).unwrap_err().to_string();
        assert!(error.contains("ptf: sector=zero") && error.contains("sector=all"), "{error}");
    }
}
