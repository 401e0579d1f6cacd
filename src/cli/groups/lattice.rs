//! The lattice: L, Lx and Ly may be given in several groups and must say the same.

use ketformer::physics::Lattice;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::settings::{Extent, Key, Kind, Settings};

/// The number of sites where no group gives one, as in the reference.
const DEFAULT_SITES: u64 = 16;

/// The largest L, Lx or Ly that a key takes; the lattice and the Hamiltonian have smaller limits of their own.
pub const MAX_SITES: u64 = 1 << 20;

/// All sites.
pub const L: Key = Key::optional(
    "L",
    Kind::Extent(MAX_SITES),
    "sites",
    "all sites, a square, or sides as in 4x6; 16 if given nowhere",
);
/// All sites, of a group that may be a sub-sampler.
pub const L_OF_SUB: Key = Key { help: "all sites; of a sub-sampler, those of a large patch", ..L };
/// One side, of a Hamiltonian.
pub const LX: Key = Key::optional("Lx", SIDE, "sites", "side along x, together with Ly; a chain is Lx=16 Ly=1");
/// The other side.
pub const LY: Key = Key::optional("Ly", SIDE, "sites", "side along y");
const SIDE: Kind = Kind::Count(1, MAX_SITES);

/// The lattice that `extent` (L of the command itself), the wave function's L, if there is one, and the Hamiltonian's
/// `L= Lx= Ly=` agree on. A number alone is a square; without any of them it is 4x4.
///
/// # Errors
/// `ErrorKind::Settings` where two of them disagree, one of Lx and Ly is missing, or a number alone is not a square.
pub fn agree(extent: Option<Extent>, model: Option<&Settings>, hamiltonian: &Settings) -> Result<Lattice> {
    let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("lattice: {text}")));
    let sides = match (hamiltonian.optional_count("Lx"), hamiltonian.optional_count("Ly")) {
        (Some(lx), Some(ly)) => Some((format!("Lx={lx} Ly={ly}"), Extent::Sides([lx, ly]))),
        (None, None) => None,
        (Some(lx), None) => return fault(format!("Lx={lx} is given without Ly; add Ly= (Ly=1 for a chain)")),
        (None, Some(ly)) => return fault(format!("Ly={ly} is given without Lx; add Lx= (Lx=1 for a chain)")),
    };
    let of_group = |group: &Settings| {
        let extent = group.optional_extent("L")?;
        Some((format!("--{} L={extent}", group.group().name), extent))
    };
    let of_command = extent.map(|extent| (format!("L={extent}"), extent));
    let given = [of_command, model.and_then(of_group), of_group(hamiltonian), sides];
    let mut lattice = Extent::Sites(DEFAULT_SITES);
    let mut first: Option<String> = None;
    for (said, extent) in given.into_iter().flatten() {
        let Some(earlier) = &first else {
            (first, lattice) = (Some(said), extent);
            continue;
        };
        lattice = match (lattice, extent) {
            (a, b) if a == b => a,
            (Extent::Sites(sites), sides @ Extent::Sides(_)) | (sides @ Extent::Sides(_), Extent::Sites(sites))
                if sides.sites() == sites =>
            {
                sides
            }
            (Extent::Sites(_), Extent::Sides(_)) => {
                return fault(format!("{earlier} disagrees with {said}; give L={} or leave L out", extent.sites()));
            }
            _ => return fault(format!("{earlier} disagrees with {said}; give the lattice once")),
        };
    }
    let lattice = match lattice {
        Extent::Sites(sites) => Lattice::from_sites(sites as usize)?,
        Extent::Sides([lx, ly]) => Lattice::square(lx as usize, ly as usize),
    };
    lattice.check()?;
    Ok(lattice)
}
