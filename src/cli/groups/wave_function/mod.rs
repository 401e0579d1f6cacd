//! Selection of the wave function: one of the families, `--ptf` by default.

pub mod lptf;
pub mod metropolis;
pub mod outcome;
pub mod patch;
pub mod ptf;
pub mod rbm;
pub mod rnn;
pub mod transformer;
pub mod vit;

use ketformer::model::Model;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::settings::typed::{Table, Typed};
use crate::cli::settings::{Group, Settings};

type Make = fn(&Settings, &mut [Settings]) -> Result<Box<dyn Model>>;

/// Family of wave functions on the command line.
struct Family {
    group: &'static Group,
    /// Groups of which one must be given as sub-sampler. Empty for families without a sub-sampler.
    subs: &'static [&'static Group],
    /// Creates the wave function from its settings and those of its sub-samplers, which it resolves.
    make: Make,
    /// Key that identifies a member of the family in the title of a plot.
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

/// Groups that define a wave function.
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

/// Settings of the given groups: those of the wave function, then those of its sub-sampler if it has one.
///
/// # Errors
/// `ErrorKind::Settings` if the groups do not define one wave function or a word is invalid.
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

/// Creates the wave function of these settings and resolves those of a sub-sampler. [`Model::check`] reports whether it
/// fits a lattice.
///
/// # Errors
/// `ErrorKind::Settings` for settings that the family does not support.
///
/// # Panics
/// If the settings do not come from [`settings`].
pub fn model(settings: &mut [Settings]) -> Result<Box<dyn Model>> {
    let (own, subs) = settings.split_first_mut().expect("a wave function has settings");
    (family(own.group()).make)(own, subs)
}

/// Short name of the wave function, for the title of a plot.
pub fn title(settings: &[Settings]) -> String {
    let part = |settings: &Settings| {
        let telling = family(settings.group()).telling;
        let value = settings.resolved().find(|(name, _)| *name == telling).map(|(_, value)| value.to_string());
        format!("{} {telling}={}", settings.group().name, value.unwrap_or_default())
    };
    settings.iter().map(part).collect::<Vec<_>>().join(" of ")
}
