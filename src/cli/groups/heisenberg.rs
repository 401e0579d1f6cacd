//! `--heisenberg`: spins ½ that neighbours and next-nearest neighbours couple.

use ketformer::physics::Heisenberg;

use super::lattice::{L, LX, LY};
use super::rydberg::COUPLING;
use crate::cli::settings::{Group, Key, Kind, Settings};

/// The keys of the Hamiltonian H = J1 Σ S·S + J2 Σ S·S.
pub static GROUP: Group = Group {
    name: "heisenberg",
    about: "the Hamiltonian J1 Σ S·S over nearest + J2 Σ S·S over next-nearest neighbours, S = σ/2",
    keys: &[
        L,
        LX,
        LY,
        Key::new("J1", COUPLING, "1", "energy", "coupling of neighbours, positive for an antiferromagnet"),
        Key::new("J2", COUPLING, "0", "energy", "coupling along diagonals; of second neighbours in a chain"),
        Key::new("periodic", Kind::Switch, "true", "", "whether the lattice closes on itself along both axes"),
        Key::new(
            "marshall",
            Kind::Switch,
            "false",
            "",
            "rotate one sublattice, so that Ψ = √P will do where J2 is not positive",
        ),
    ],
};

/// The Hamiltonian of these settings.
pub fn hamiltonian(settings: &Settings) -> Heisenberg {
    Heisenberg {
        j1: settings.real("J1"),
        j2: settings.real("J2"),
        periodic: settings.switch("periodic"),
        marshall: settings.switch("marshall"),
    }
}
