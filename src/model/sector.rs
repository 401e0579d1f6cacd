//! Which configurations a wave function is over: all, or those of zero magnetisation.

use std::fmt;
use std::str::FromStr;

use super::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Lattice, Terms};

/// The configurations that an autoregressive wave function gives probability. In a sector outcomes of a patch from which it
/// cannot be reached any more have none, so that Σ P = 1 inside (arXiv:2002.02973, section III.C). For Hamiltonians that only
/// exchange occupations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sector {
    /// All 2^N.
    #[default]
    All,
    /// Those of half of the sites occupied, Σ σᶻ = 0, on lattices of an even number of sites.
    ZeroMagnetisation,
}

impl Sector {
    /// Whether `lattice` has the sector.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] where the number of sites is odd.
    pub(super) fn check(self, model: &str, lattice: &Lattice) -> Result<()> {
        match self {
            Self::All => Ok(()),
            Self::ZeroMagnetisation => check_even(model, lattice, ["sector=zero", "sector=all"]),
        }
    }
}

/// That half of the sites of `lattice` can be occupied, as a setting asks; the second would not.
///
/// # Errors
/// [`ErrorKind::Settings`] where their number is odd.
pub(super) fn check_even(model: &str, lattice: &Lattice, [asked, instead]: [&str; 2]) -> Result<()> {
    let sites = lattice.sites();
    if sites.is_multiple_of(2) {
        return Ok(());
    }
    let message = format!(
        "{model}: {asked} occupies half of the sites, and {sites} have no half; give a lattice of an even number of sites, \
         or {instead}"
    );
    Err(Error::new(ErrorKind::Settings, message))
}

/// That a Hamiltonian of `terms` does not lead out of the sector that `model` is over
/// ([`Model::keeps_excitations`]).
///
/// # Errors
/// [`ErrorKind::Settings`], with the setting to change.
pub fn check_sector(model: &dyn Model, terms: &Terms) -> Result<()> {
    if !model.keeps_excitations() || terms.keeps_excitations() {
        return Ok(());
    }
    let (name, instead) = (model.name(), if model.chains().is_some() { "proposal=flip" } else { "sector=all" });
    let message = format!(
        "{name}: it keeps half of the sites occupied, which this Hamiltonian changes; give {instead}, or a Hamiltonian that \
         only exchanges occupations"
    );
    Err(Error::new(ErrorKind::Settings, message))
}

impl fmt::Display for Sector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::ZeroMagnetisation => "zero",
        })
    }
}

impl FromStr for Sector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            "zero" => Ok(Self::ZeroMagnetisation),
            _ => {
                let message = format!("sector: expected all or zero, got `{text}`; give for example sector=zero");
                Err(Error::new(ErrorKind::Settings, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_written_as_they_are_read() {
        for sector in [Sector::All, Sector::ZeroMagnetisation] {
            assert_eq!(sector.to_string().parse::<Sector>().unwrap(), sector);
        }
        assert!("one".parse::<Sector>().unwrap_err().to_string().contains("all or zero"));
    }

    #[test]
    fn an_odd_number_of_sites_has_no_half() {
        let check = |sector: Sector, sites| sector.check("ptf", &Lattice::chain(sites));
        assert!(check(Sector::ZeroMagnetisation, 8).is_ok() && check(Sector::All, 9).is_ok());
        let error = check(Sector::ZeroMagnetisation, 9).unwrap_err().to_string();
        assert!(error.contains("ptf: sector=zero") && error.contains("sector=all"), "{error}");
    }
}
