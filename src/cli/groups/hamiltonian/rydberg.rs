//! `--rydberg`: Rydberg atoms on a lattice.

use ketformer::physics::{Blockade, Hamiltonian, Rydberg};

use crate::cli::groups::lattice::{L, LX, LY, PERIODIC};
use crate::cli::settings::{Group, Key, KeyKind, Settings};

/// Maximum magnitude of a coupling. Beyond it, energies and their squares exceed the range of 32-bit floats.
const MAX_COUPLING: f64 = 1e12;
/// Coupling of either sign.
pub const COUPLING: KeyKind = KeyKind::Real(-MAX_COUPLING, MAX_COUPLING);

/// Radius of the blockade.
pub const BLOCKADE: Key = Key::optional(
    "blockade",
    KeyKind::Positive(1e6),
    "sites",
    "leave out configurations with two excitations at this distance or closer; 1: neighbors",
);

/// Keys of the Hamiltonian H = −Ω/2 Σ σˣ − δ Σ n + Σ V/r⁶ n n.
pub static GROUP: Group = Group {
    name: "rydberg",
    about: "the Hamiltonian −Omega/2 Σ σx − delta Σ n + Σ V/r⁶ n n over all pairs",
    keys: &[
        L,
        LX,
        LY,
        Key::new("V", COUPLING, "7", "energy", "energy of two excited neighbors, the coefficient of 1/r⁶"),
        Key::new("delta", COUPLING, "1", "energy", "detuning"),
        Key::new("Omega", COUPLING, "1", "energy", "Rabi frequency; its sign only changes that of sigma_x"),
        PERIODIC,
        BLOCKADE,
    ],
};

/// Hamiltonian of these settings, in the subspace of the blockade if there is one.
pub fn hamiltonian(settings: &Settings) -> Box<dyn Hamiltonian> {
    let hamiltonian = Rydberg { v: settings.real("V"), delta: settings.real("delta"), omega: settings.real("Omega") };
    match settings.optional_real(BLOCKADE.name) {
        Some(radius) => Box::new(Blockade { hamiltonian, radius }),
        None => Box::new(hamiltonian),
    }
}
