//! Physics: lattices, patches, Hamiltonians as data, and exact ground states as a reference. Plain Rust in f64,
//! independent of GPUs, kernels and models.
//!
//! * [`Lattice`]: `Lx` × `Ly` sites, site `s = x·Ly + y`.
//! * [`Patching`]: the map between sites and patch tokens.
//! * [`Terms`]: a Hamiltonian as data (constant, fields, pairs, off-diagonal terms). A [`Hamiltonian`] defines the
//!   terms on a lattice.
//! * [`Rydberg`], [`Tfim`], [`Heisenberg`]: the Hamiltonians. A new one is one more file that creates [`Terms`]; no
//!   shader changes.
//! * [`Blockade`]: a Hamiltonian in the subspace in which no two occupied sites are close.
//! * [`ground_state`] and [`Observables`]: exact diagonalization on all `2^N` states, up to [`MAX_EXACT_SITES`] sites.
//! * [`SymmetryGroup`]: the site permutations and the spin flip that leave [`Terms`] invariant.
//! * [`Subspace`] and [`SignRule`]: what states of given symmetries can and cannot be.
//!
//! A configuration is a slice of `N` occupations, 0 or 1, in site order. A state vector has `2^N` amplitudes; bit `i`
//! of the index is the occupation of site `i`.
//!
//! ```
//! use ketformer::physics::{Hamiltonian, Lattice, Observables, Rydberg, ground_state};
//!
//! # fn main() -> ketformer::Result<()> {
//! let lattice = Lattice::square(2, 2);
//! let terms = Rydberg { v: 7.0, delta: 1.0, omega: 1.0 }.terms(&lattice)?;
//! let ground = ground_state(&terms, lattice.sites())?;
//! let observables = Observables::of(&terms, &lattice, &ground.state)?;
//! assert!((ground.energy + 2.134346829936).abs() < 1e-9);
//! assert!((observables.density() - 0.298436907016).abs() < 1e-9);
//! # Ok(())
//! # }
//! ```

mod chunks;
mod diagonal;
mod exact;
mod hamiltonian;
mod lattice;
mod observables;
mod order;
mod patching;
mod rare;
mod symmetry;

pub(crate) use diagonal::index_of;
pub use diagonal::{DIAGONAL_OBSERVABLES, DiagonalObservable, Evaluate};
pub use exact::{
    GroundState, MAX_EXACT_SITES, MAX_SUBSPACE_SITES, Operator, Subspace, check_exact_sites, ground_energy,
    ground_energy_async, ground_state,
};
pub use hamiltonian::{
    Blockade, Hamiltonian, Heisenberg, MAX_RYDBERG_SITES, Move, MoveCondition, Pair, Rydberg, Terms, Tfim, Xxz,
    excluded_pairs,
};
pub use lattice::{Lattice, MAX_SITES};
pub use observables::Observables;
pub use order::{Order, Peak};
pub use patching::{MAX_SITES_PER_LARGE_PATCH, MAX_SITES_PER_PATCH, Patch, Patching};
pub use symmetry::{SignRule, Symmetry, SymmetryGroup, named_symmetries};
