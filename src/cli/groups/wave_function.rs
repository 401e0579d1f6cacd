//! Which wave function: one of the families, the patched transformer where none is given.

use ketformer::model::Model;
use ketformer::{Error, ErrorKind, Result};

use super::{lptf, ptf, rbm, rnn, vit};
use crate::cli::settings::{Group, Settings};
use crate::cli::typed::{Table, Typed};

type Make = fn(&Settings, &mut [Settings]) -> Result<Box<dyn Model>>;

/// A family of wave functions on the command line.
struct Family {
    group: &'static Group,
    /// Groups of which one has to be given as its sub-sampler; empty where it has none.
    subs: &'static [&'static Group],
    /// Makes it of its own settings and those of its sub-samplers, which it resolves.
    make: Make,
    /// The key that tells its members apart in the title of a picture.
    telling: &'static str,
}

/// Every family; the first is the default.
static ALL: [Family; 5] = [
    Family { group: &ptf::GROUP, subs: &[], make: |own, _| Ok(Box::new(ptf::model(own)?)), telling: "patch" },
    Family { group: &rnn::GROUP, subs: &[], make: |own, _| Ok(Box::new(rnn::model(own)?)), telling: "patch" },
    Family {
        group: &lptf::GROUP,
        subs: &[&rnn::GROUP, &ptf::GROUP],
        make: |own, subs| Ok(Box::new(lptf::model(own, &mut subs[0])?)),
        telling: "patch",
    },
    Family { group: &rbm::GROUP, subs: &[], make: |own, _| Ok(Box::new(rbm::model(own))), telling: "alpha" },
    Family { group: &vit::GROUP, subs: &[], make: |own, _| Ok(Box::new(vit::model(own)?)), telling: "patch" },
];

/// The groups that describe a wave function.
#[derive(Debug, Clone)]
pub enum WaveFunctions {}

impl Table for WaveFunctions {
    fn groups() -> impl Iterator<Item = &'static Group> {
        ALL.iter().map(|family| family.group)
    }
}

fn family(group: &Group) -> &'static Family {
    let family = ALL.iter().find(|family| family.group.name == group.name);
    family.expect("settings of a wave function are of a group in the table")
}

/// The settings of the groups that were typed: those of the wave function, then those of its sub-sampler if it has one.
///
/// # Errors
/// `ErrorKind::Settings` for groups that do not make one wave function, and for their words.
pub fn settings(typed: &Typed<WaveFunctions>) -> Result<Vec<Settings>> {
    let fault = |text: String| Err(Error::new(ErrorKind::Settings, text));
    let list = |groups: &[&Group], word: &str| {
        groups.iter().map(|group| format!("--{}", group.name)).collect::<Vec<_>>().join(word)
    };
    let given: Vec<&Group> = typed.given().iter().map(|(group, _)| *group).collect();
    let (above, others): (Vec<&Group>, Vec<&Group>) = given.iter().partition(|group| !family(group).subs.is_empty());
    match (above.as_slice(), others.as_slice()) {
        ([], []) => return Ok(vec![ALL[0].group.parse(&[])?]),
        ([], [_]) => (),
        ([own], others) => {
            let (name, subs) = (own.name, family(own).subs);
            let any = list(subs, " or ");
            match others {
                [] => return fault(format!("{name}: it needs a sub-sampler; add {any}, such as --rnn patch=2x2")),
                [sub] if subs.iter().any(|possible| possible.name == sub.name) => (),
                [sub] => {
                    return fault(format!("{name}: --{} cannot be its sub-sampler; give {any} instead", sub.name));
                }
                _ => return fault(format!("{name}: {} are given; keep one sub-sampler", list(others, " and "))),
            }
        }
        _ => return fault(format!("{} are given; keep one wave function", list(&given, " and "))),
    }
    let parse = |wanted: &&Group| {
        let words =
            typed.given().iter().find(|(group, _)| group.name == wanted.name).map(|(_, words)| words.as_slice());
        family(wanted).group.parse(words.unwrap_or_default())
    };
    above.iter().chain(&others).map(parse).collect()
}

/// The wave function of these settings, in which those of a sub-sampler are resolved; whether it fits a lattice is for
/// [`Model::check`] to say.
///
/// # Errors
/// `ErrorKind::Settings` for what no wave function of the family can be asked.
///
/// # Panics
/// If the settings are not such as [`settings`] gives.
pub fn model(settings: &mut [Settings]) -> Result<Box<dyn Model>> {
    let (own, subs) = settings.split_first_mut().expect("a wave function has settings");
    (family(own.group()).make)(own, subs)
}

/// The wave function in a few words, for the title of a picture.
pub fn title(settings: &[Settings]) -> String {
    let part = |settings: &Settings| {
        let telling = family(settings.group()).telling;
        let value = settings.resolved().find(|(name, _)| *name == telling).map(|(_, value)| value.to_string());
        format!("{} {telling}={}", settings.group().name, value.unwrap_or_default())
    };
    settings.iter().map(part).collect::<Vec<_>>().join(" of ")
}
