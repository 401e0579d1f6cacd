//! `--tfim`: the transverse-field Ising model.

use ketformer::physics::Tfim;

use super::rydberg::COUPLING;
use crate::cli::groups::lattice::{L, LX, LY, PERIODIC};
use crate::cli::settings::{Group, Key, Settings};

/// Keys of the Hamiltonian H = −J Σ σz σz − h Σ σx.
pub static GROUP: Group = Group {
    name: "tfim",
    about: "the Hamiltonian −J Σ σz σz − h Σ σx over nearest neighbors, Pauli matrices",
    keys: &[
        L,
        LX,
        LY,
        Key::new("J", COUPLING, "1", "energy", "coupling of neighbors, positive for a ferromagnet"),
        Key::new("h", COUPLING, "1", "energy", "transverse field; its sign only changes that of sigma_x"),
        PERIODIC,
    ],
};

/// Hamiltonian of these settings.
pub fn hamiltonian(settings: &Settings) -> Tfim {
    Tfim { j: settings.real("J"), h: settings.real("h") }
}
