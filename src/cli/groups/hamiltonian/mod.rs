//! Selection of the Hamiltonian: one of its groups, `--rydberg` by default.

pub mod heisenberg;
mod notes;
pub mod rydberg;
pub mod tfim;
pub mod xxz;

use ketformer::model::{Blockaded, Model};
use ketformer::physics::{Hamiltonian, Lattice};
use ketformer::{Error, ErrorKind, Result};

pub use notes::notes;

use crate::cli::settings::typed::{Table, Typed};
use crate::cli::settings::{Group, Settings, Value};

/// Hamiltonian on the command line.
struct Entry {
    group: &'static Group,
    make: fn(&Settings) -> Box<dyn Hamiltonian>,
}

/// Every Hamiltonian; the first is the default.
static ALL: [Entry; 4] = [
    Entry { group: &rydberg::GROUP, make: rydberg::hamiltonian },
    Entry { group: &tfim::GROUP, make: |settings| Box::new(tfim::hamiltonian(settings)) },
    Entry { group: &heisenberg::GROUP, make: |settings| Box::new(heisenberg::hamiltonian(settings)) },
    Entry { group: &xxz::GROUP, make: |settings| Box::new(xxz::hamiltonian(settings)) },
];

/// Groups that define a Hamiltonian.
#[derive(Debug, Clone)]
pub enum Hamiltonians {}

impl Table for Hamiltonians {
    fn groups() -> impl Iterator<Item = &'static Group> {
        ALL.iter().map(|entry| entry.group)
    }
}

/// Settings of the given group, with the words `more` in addition.
///
/// # Errors
/// `ErrorKind::Settings` if two groups are given or a word is invalid.
pub fn settings(typed: &Typed<Hamiltonians>, more: &[String]) -> Result<Settings> {
    match typed.given() {
        [] => ALL[0].group.parse(more),
        [(group, words)] => group.parse(&[more, words].concat()),
        [(first, _), (second, _), ..] => {
            let message = format!("--{} and --{} are both given; keep one Hamiltonian", first.name, second.name);
            Err(Error::new(ErrorKind::Settings, message))
        }
    }
}

/// Creates the Hamiltonian of these settings.
///
/// # Panics
/// If they are not of a group in the table.
pub fn hamiltonian(settings: &Settings) -> Box<dyn Hamiltonian> {
    let entry = ALL.iter().find(|entry| entry.group.name == settings.group().name);
    (entry.expect("settings of a Hamiltonian are of a group in the table").make)(settings)
}

/// The value of marshall=, other than the present one, with which no off-diagonal amplitude is positive.
pub fn helpful_rotation(settings: &Settings, lattice: &Lattice) -> Option<bool> {
    let name = heisenberg::MARSHALL.name;
    settings.group().keys.iter().find(|key| key.name == name)?;
    let (mut rotated, value) = (settings.clone(), !settings.switch(name));
    rotated.resolve(name, Value::Switch(value));
    hamiltonian(&rotated).terms(lattice).is_ok_and(|terms| terms.is_stoquastic()).then_some(value)
}

/// Wave function in the subspace of the Hamiltonian of these settings.
pub fn in_subspace(model: Box<dyn Model>, settings: &Settings) -> Box<dyn Model> {
    let key = rydberg::BLOCKADE.name;
    let has_key = settings.group().keys.iter().any(|known| known.name == key);
    match has_key.then(|| settings.optional_real(key)).flatten() {
        Some(radius) => Box::new(Blockaded { model, radius }),
        None => model,
    }
}

/// Hamiltonian, lattice and couplings in one line, for the title of a plot.
pub fn title(settings: &Settings, lattice: &Lattice) -> String {
    let couplings = settings.resolved().filter(|(name, _)| !["L", "Lx", "Ly"].contains(name));
    let couplings: Vec<String> = couplings.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {lattice}, {}", settings.group().name, couplings.join(" "))
}
