//! `--heisenberg`: spins ½ with couplings between nearest and next-nearest neighbors.

use ketformer::physics::Heisenberg;

use super::rydberg::COUPLING;
use crate::cli::groups::lattice::{L, LX, LY, PERIODIC};
use crate::cli::settings::{Group, Key, KeyKind, Settings};

/// Marshall rotation, for a Hamiltonian of antiferromagnetic exchanges.
pub const MARSHALL: Key = Key::new(
    "marshall",
    KeyKind::Switch,
    "false",
    "",
    "rotate one sublattice, so that Ψ = √P suffices if no coupling within a sublattice is positive",
);

/// Keys of the Hamiltonian H = J1 Σ S·S + J2 Σ S·S.
pub static GROUP: Group = Group {
    name: "heisenberg",
    about: "the Hamiltonian J1 Σ S·S over nearest + J2 Σ S·S over next-nearest neighbors, S = σ/2",
    keys: &[
        L,
        LX,
        LY,
        Key::new("J1", COUPLING, "1", "energy", "coupling of neighbors, positive for an antiferromagnet"),
        Key::new("J2", COUPLING, "0", "energy", "coupling along diagonals; of second neighbors in a chain"),
        Key { default: Some("true"), ..PERIODIC },
        MARSHALL,
    ],
};

/// Hamiltonian of these settings.
pub fn hamiltonian(settings: &Settings) -> Heisenberg {
    Heisenberg { j1: settings.real("J1"), j2: settings.real("J2"), marshall: settings.switch("marshall") }
}
