//! The lattice: L, Lx and Ly may be given in several groups and must agree.

use ketformer::physics::Lattice;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::settings::{Extent, Key, KeyKind, Settings};

/// Number of sites if no group gives one, as in the reference code.
const DEFAULT_SITES: u64 = 16;

/// Maximum of L, Lx and Ly. The lattice and the Hamiltonian have smaller limits.
pub const MAX_SITES: u64 = 1 << 20;

/// Number of sites.
pub const L: Key = Key::optional(
    "L",
    KeyKind::Extent(MAX_SITES),
    "sites",
    "number of sites of a square, or sides as in 4x6; default 16",
);
/// Number of sites, for a group that may be a sub-sampler.
pub const L_OF_SUB: Key = Key { help: "number of sites; for a sub-sampler, of sites of a large patch", ..L };
/// Side along x, for a Hamiltonian.
pub const LX: Key = Key::optional("Lx", SIDE, "sites", "side along x, together with Ly; a chain is Lx=16 Ly=1");
/// Side along y, for a Hamiltonian.
pub const LY: Key = Key::optional("Ly", SIDE, "sites", "side along y");
/// Boundaries, for a Hamiltonian; open by default.
pub const PERIODIC: Key = Key::new(
    "periodic",
    KeyKind::Axes,
    "false",
    "",
    "periodic boundaries along both axes (true), one (x or y) or none",
);
const SIDE: KeyKind = KeyKind::Count(1, MAX_SITES);

/// Returns the lattice on which `extent` (L of the command), L of the wave function and `L= Lx= Ly=` of the Hamiltonian
/// agree. A single number is a square. The default is 4x4.
///
/// # Errors
/// `ErrorKind::Settings` if two of them disagree, one of Lx and Ly is missing, or a single number is not a square.
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
    Ok(Lattice { periodic: hamiltonian.axes(PERIODIC.name), ..lattice })
}
