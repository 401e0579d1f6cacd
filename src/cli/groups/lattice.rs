//! The lattice: L, Lx and Ly may be given in several groups and must say the same.

use ketformer::physics::Lattice;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::settings::{Key, Kind, Settings};

/// The number of sites where no group gives one, as in the reference.
pub const DEFAULT_SITES: u64 = 16;

/// The largest L, Lx or Ly that a key takes; the lattice and the Hamiltonian have smaller limits of their own.
pub const MAX_SITES: u64 = 1 << 20;

const SITES: Kind = Kind::Count(1, MAX_SITES);
/// All sites.
pub const L: Key = Key::optional("L", SITES, "sites", "all sites, a square; 16, and the same wherever it is given");
/// One side, of a Hamiltonian.
pub const LX: Key = Key::optional("Lx", SITES, "sites", "side along x, together with Ly; a chain is Lx=16 Ly=1");
/// The other side.
pub const LY: Key = Key::optional("Ly", SITES, "sites", "side along y");

/// The lattice that `sites` (L of the command itself), the wave function's L, if there is one, and the Hamiltonian's
/// `L= Lx= Ly=` agree on. L alone is a square; without any of them it is 4x4.
///
/// # Errors
/// `ErrorKind::Settings` where two of them disagree, one of Lx and Ly is missing, or L alone is not a square.
pub fn agree(sites: Option<u64>, model: Option<&Settings>, hamiltonian: &Settings) -> Result<Lattice> {
    let fault = |text: String| Err(Error::new(ErrorKind::Settings, text));
    let of_group = |group: &Settings| Some((format!("--{} L", group.group().name), group.optional_count("L")?));
    let named = [sites.map(|sites| ("L".to_string(), sites)), model.and_then(of_group), of_group(hamiltonian)];
    let mut given = named.into_iter().flatten();
    let first = given.next();
    if let Some((first_name, first_value)) = &first
        && let Some((name, value)) = given.find(|(_, value)| value != first_value)
    {
        return fault(format!("lattice: {first_name}={first_value} disagrees with {name}={value}; give L once"));
    }
    let sites = first.map(|(_, value)| value);
    match (hamiltonian.optional_count("Lx"), hamiltonian.optional_count("Ly")) {
        (Some(lx), Some(ly)) => {
            let lattice = Lattice::square(lx as usize, ly as usize);
            lattice.check()?;
            match sites {
                Some(sites) if sites != lx * ly => fault(format!(
                    "lattice: L={sites} disagrees with Lx={lx} Ly={ly}; give L={} or leave L out",
                    lx * ly
                )),
                _ => Ok(lattice),
            }
        }
        (None, None) => {
            let lattice = Lattice::from_sites(sites.unwrap_or(DEFAULT_SITES) as usize)?;
            lattice.check()?;
            Ok(lattice)
        }
        (Some(lx), None) => fault(format!("lattice: Lx={lx} is given without Ly; add Ly= (Ly=1 for a chain)")),
        (None, Some(ly)) => fault(format!("lattice: Ly={ly} is given without Lx; add Lx= (Lx=1 for a chain)")),
    }
}
