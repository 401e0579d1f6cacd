//! Which Hamiltonian: one of the groups that describe one, Rydberg atoms where none is given.

use ketformer::physics::{Hamiltonian, Lattice};
use ketformer::run::RunSettings;
use ketformer::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::{rydberg, tfim};
use crate::cli::arguments::HamiltonianArguments;
use crate::cli::settings::{Group, Settings};

/// The groups that describe a Hamiltonian; the first is the default.
pub static GROUPS: [&Group; 2] = [&rydberg::GROUP, &tfim::GROUP];

/// The settings of the group that was typed, with `more` words for it.
///
/// # Errors
/// `ErrorKind::Settings` where two are typed, and for its words.
pub fn settings(arguments: &HamiltonianArguments, more: &[String]) -> Result<Settings> {
    let typed = [(GROUPS[0], &arguments.rydberg), (GROUPS[1], &arguments.tfim)];
    let mut given = typed.iter().filter_map(|(group, words)| Some((*group, words.as_ref()?)));
    let first = given.next();
    if let (Some((first, _)), Some((second, _))) = (first, given.next()) {
        let message = format!("--{} and --{} are both given; keep one Hamiltonian", first.name, second.name);
        return Err(Error::new(ErrorKind::Settings, message));
    }
    let (group, words) = first.map_or((GROUPS[0], &[][..]), |(group, words)| (group, words.as_slice()));
    group.parse(&[more, words].concat())
}

/// The settings of a run folder.
///
/// # Errors
/// `ErrorKind::Settings` if it names no Hamiltonian or two, and for its values.
pub fn of_run(run: &RunSettings) -> Result<Settings> {
    let typed = |group: &Option<Map<String, Value>>| group.as_ref().map(super::words);
    let arguments = HamiltonianArguments { rydberg: typed(&run.rydberg), tfim: typed(&run.tfim) };
    if arguments.rydberg.is_none() && arguments.tfim.is_none() {
        let message = "settings.json: it names no Hamiltonian known here; use the version of ketformer that wrote it";
        return Err(Error::new(ErrorKind::Settings, message));
    }
    settings(&arguments, &[])
}

/// The Hamiltonian of these settings.
pub fn hamiltonian(settings: &Settings) -> Box<dyn Hamiltonian> {
    if settings.group().name == tfim::GROUP.name {
        Box::new(tfim::hamiltonian(settings))
    } else {
        Box::new(rydberg::hamiltonian(settings))
    }
}

/// Hamiltonian, lattice and couplings in one line, for the title of a picture.
pub fn title(settings: &Settings, lattice: &Lattice) -> String {
    let couplings = settings.resolved().filter(|(name, _)| !["L", "Lx", "Ly"].contains(name));
    let couplings: Vec<String> = couplings.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {lattice}, {}", settings.group().name, couplings.join(" "))
}
