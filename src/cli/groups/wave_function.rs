//! Which wave function: one of the families, the patched transformer where none is given.

use ketformer::model::Model;
use ketformer::{Error, ErrorKind, Result};

use super::ptf;
use crate::cli::settings::{Group, Settings};
use crate::cli::typed::{Table, Typed};

/// A family of wave functions on the command line.
struct Family {
    group: &'static Group,
    make: fn(&Settings) -> Result<Box<dyn Model>>,
    /// The key that tells its members apart in the title of a picture.
    telling: &'static str,
}

/// Every family; the first is the default.
static ALL: [Family; 1] =
    [Family { group: &ptf::GROUP, make: |settings| Ok(Box::new(ptf::model(settings)?)), telling: "patch" }];

/// The groups that describe a wave function.
#[derive(Debug, Clone)]
pub enum WaveFunctions {}

impl Table for WaveFunctions {
    fn groups() -> impl Iterator<Item = &'static Group> {
        ALL.iter().map(|family| family.group)
    }
}

fn family(settings: &Settings) -> &'static Family {
    let family = ALL.iter().find(|family| family.group.name == settings.group().name);
    family.expect("settings of a wave function are of a group in the table")
}

/// The settings of the groups that were typed: the wave function, and what it is made of in turn.
///
/// # Errors
/// `ErrorKind::Settings` where two are typed, and for their words.
pub fn settings(typed: &Typed<WaveFunctions>) -> Result<Vec<Settings>> {
    match typed.given() {
        [] => Ok(vec![ALL[0].group.parse(&[])?]),
        [(group, words)] => Ok(vec![group.parse(words)?]),
        [(first, _), (second, _), ..] => {
            let message = format!("--{} and --{} are both given; keep one wave function", first.name, second.name);
            Err(Error::new(ErrorKind::Settings, message))
        }
    }
}

/// The wave function of these settings; whether it fits a lattice is for [`Model::check`] to say.
///
/// # Errors
/// `ErrorKind::Settings` for what no wave function of the family can be asked.
pub fn model(settings: &[Settings]) -> Result<Box<dyn Model>> {
    (family(&settings[0]).make)(&settings[0])
}

/// The wave function in a few words, for the title of a picture.
pub fn title(settings: &[Settings]) -> String {
    let part = |settings: &Settings| {
        let telling = family(settings).telling;
        let value = settings.resolved().find(|(name, _)| *name == telling).map(|(_, value)| value.to_string());
        format!("{} {telling}={}", settings.group().name, value.unwrap_or_default())
    };
    settings.iter().map(part).collect::<Vec<_>>().join(" of ")
}
