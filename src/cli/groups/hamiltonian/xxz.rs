//! `--xxz`: spins ½ with an anisotropic coupling of neighbors, in fields.

use ketformer::physics::Xxz;

use super::heisenberg::MARSHALL;
use super::rydberg::COUPLING;
use crate::cli::groups::lattice::{L, LX, LY, PERIODIC};
use crate::cli::settings::{Group, Key, Settings};

/// Keys of the Hamiltonian H = J Σ (SxSx + SySy + Delta SzSz) − hz Σ Sz − hx Σ Sx.
pub static GROUP: Group = Group {
    name: "xxz",
    about: "the Hamiltonian J Σ (Sx Sx + Sy Sy + Delta Sz Sz) − hz Σ Sz − hx Σ Sx over nearest neighbors, S = σ/2",
    keys: &[
        L,
        LX,
        LY,
        Key::new("J", COUPLING, "1", "energy", "coupling of neighbors in the plane, positive for an antiferromagnet"),
        Key::new("Delta", COUPLING, "1", "J", "anisotropy: coupling along z"),
        Key::new("hz", COUPLING, "0", "energy", "longitudinal field"),
        Key::new("hx", COUPLING, "0", "energy", "transverse field; magnetization is conserved without it"),
        PERIODIC,
        MARSHALL,
    ],
};

/// Hamiltonian of these settings.
pub fn hamiltonian(settings: &Settings) -> Xxz {
    Xxz {
        j: settings.real("J"),
        delta: settings.real("Delta"),
        hz: settings.real("hz"),
        hx: settings.real("hx"),
        marshall: settings.switch(MARSHALL.name),
    }
}
