//! Settings file of a run folder, checked as a whole: its groups and keys against the tables of this program, and its
//! values against the command that it records.

use std::path::Path;

use clap::Parser;
use ketformer::run::{RunSettings, SETTINGS_FILE};
use ketformer::{Error, ErrorKind};
use serde_json::{Map, Value};

use super::arguments::{Arguments, Command};
use super::groups::hamiltonian::Hamiltonians;
use super::groups::train;
use super::groups::wave_function::WaveFunctions;
use super::settings::Group;
use super::settings::typed::{Table, words};
use super::shell_words::unquoted;

/// Reads and checks the settings of the run in `folder`, which must be one of a wave function.
///
/// # Errors
/// `ErrorKind::File` if the file cannot be read, is from a newer version, or contradicts this program or itself.
pub fn load(folder: &Path) -> ketformer::Result<RunSettings> {
    let path = folder.join(SETTINGS_FILE);
    let settings = RunSettings::load(&path)?;
    match check(&settings) {
        Ok(()) => Ok(settings),
        Err(what) => {
            let text = format!(
                "settings.json: {} {what}; restore it, or give the run's weights, wave function and Hamiltonian \
                 instead",
                path.display()
            );
            Err(Error::new(ErrorKind::File, text))
        }
    }
}

/// Checks groups, keys and values.
fn check(settings: &RunSettings) -> Result<(), String> {
    let known = |group: &str| WaveFunctions::groups().chain(Hamiltonians::groups()).find(|known| known.name == group);
    for (name, values) in &settings.groups {
        let group = known(name).ok_or_else(|| format!("has the unknown group `{name}`"))?;
        check_values(group, values)?;
    }
    check_values(&train::GROUP, &settings.train)?;
    let count = |names: Vec<&str>| names.iter().filter(|name| settings.groups.contains_key(**name)).count();
    if count(WaveFunctions::groups().map(|group| group.name).collect()) == 0 {
        return Err("names no wave function".into());
    }
    match count(Hamiltonians::groups().map(|group| group.name).collect()) {
        1 => check_command(settings),
        0 => Err("names no Hamiltonian".into()),
        _ => Err("names more than one Hamiltonian".into()),
    }
}

/// Checks that every value is one of its key, and that it has the type that this program writes.
fn check_values(group: &'static Group, values: &Map<String, Value>) -> Result<(), String> {
    let parsed = group.parse(&words(values)).map_err(|error| format!("has an invalid value: {error}"))?.map();
    match values.iter().find(|(name, value)| parsed.get(*name).is_some_and(|parsed| !same(parsed, value))) {
        Some((name, value)) => Err(format!("has {name} = {value} in `{}`, which has another type", group.name)),
        None => Ok(()),
    }
}

/// Whether two JSON values are equal, as numbers if they are numbers.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.is_number() && b.is_number() && a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64())
}

/// Checks that the settings are those of the command that began the run, with the changes of its resumptions.
fn check_command(settings: &RunSettings) -> Result<(), String> {
    let unreadable = || "has a command that this version cannot read".to_string();
    let typed = unquoted(&settings.command).ok_or_else(unreadable)?;
    let Ok(Arguments { command: Command::Train(arguments) }) = Arguments::try_parse_from(typed) else {
        return Err(unreadable());
    };
    let changes = settings.resumptions.iter().flat_map(|resumption| resumption.changes.iter().cloned());
    let (model, hamiltonian) = (&arguments.groups.model, &arguments.groups.hamiltonian);
    let given = model.given().iter().chain(hamiltonian.given());
    let groups = given.map(|(group, words)| (*group, words.clone(), settings.groups.get(group.name)));
    let mut train = arguments.words();
    let key = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        train::GROUP.keys.iter().find(|key| key.name == name || key.former == Some(name)).map(|key| key.name)
    };
    for change in changes {
        train.retain(|word| key(word) != key(&change));
        train.push(change);
    }
    let groups = groups.chain([(&train::GROUP, train, Some(&settings.train))]);
    for (group, words, values) in groups {
        let values = values.ok_or_else(|| format!("lacks the group `{}` of its command", group.name))?;
        let begun = group.parse(&words).map_err(|_| unreadable())?;
        let now = group.parse(&self::words(values)).map_err(|error| error.to_string())?;
        let values = now.map();
        for (name, expected) in begun.map().iter().filter(|(name, _)| begun.is_given(name)) {
            match values.get(name).filter(|_| now.is_given(name)) {
                Some(value) if same(value, expected) => {}
                Some(value) => {
                    return Err(format!("has {name} = {value} in `{}`, its command {expected}", group.name));
                }
                None => return Err(format!("lacks {name} = {expected} in `{}`, which its command has", group.name)),
            }
        }
    }
    let begun = |name: &String| model.given().iter().chain(hamiltonian.given()).any(|(group, _)| group.name == name);
    match settings.groups.keys().find(|name| !begun(name)) {
        Some(name) => Err(format!("has the group `{name}`, which its command lacks")),
        None if settings.train.get("seed").and_then(Value::as_u64) != Some(settings.seed) => {
            Err(format!("has the seed {}, and another one in `train`", settings.seed))
        }
        None => Ok(()),
    }
}
