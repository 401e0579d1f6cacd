//! `--rydberg`: Rydberg atoms on a lattice with open boundaries.

use ketformer::physics::Rydberg;

use super::lattice::{L, LX, LY};
use crate::cli::settings::{Group, Key, Kind, Settings};

/// The largest coupling; beyond it energies and their squares leave the range of 32-bit floats.
const MAX_COUPLING: f64 = 1e12;
/// Any coupling.
pub const COUPLING: Kind = Kind::Real(-MAX_COUPLING, MAX_COUPLING);
/// What multiplies σx: its sign only turns the signs of the wave function, and Ψ = √P wants it positive.
pub const FIELD: Kind = Kind::Real(0.0, MAX_COUPLING);

/// The keys of the Hamiltonian H = −Ω/2 Σ σˣ − δ Σ n + Σ V/r⁶ n n.
pub static GROUP: Group = Group {
    name: "rydberg",
    about: "the Hamiltonian −Omega/2 Σ σx − delta Σ n + Σ V/r⁶ n n, open boundaries, all pairs",
    keys: &[
        L,
        LX,
        LY,
        Key::new("V", COUPLING, "7", "energy", "energy of two excited neighbours, the coefficient of 1/r⁶"),
        Key::new("delta", COUPLING, "1", "energy", "detuning"),
        Key::new("Omega", FIELD, "1", "energy", "Rabi frequency; its sign does not matter"),
    ],
};

/// The Hamiltonian of these settings.
pub fn hamiltonian(settings: &Settings) -> Rydberg {
    Rydberg { v: settings.real("V"), delta: settings.real("delta"), omega: settings.real("Omega") }
}
