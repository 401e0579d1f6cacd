//! Settings file of a run folder, checked as a whole: its groups and keys against the tables of this program, and its
//! values against the command that it records.

use std::path::Path;

use clap::Parser;
use ketformer::run::{RunSettings, SETTINGS_FILE};
use ketformer::{Error, ErrorKind};
use serde_json::{Map, Value};

use super::arguments::gpt::GptCommand;
use super::arguments::{Arguments, Command};
use super::groups::hamiltonian::Hamiltonians;
use super::groups::wave_function::WaveFunctions;
use super::groups::{gpt, train};
use super::settings::Group;
use super::settings::typed::{Table, words};
use super::shell_words::unquoted;
use super::subject::split_runs;

/// Reads and checks the settings of the run in `folder`, which must be one of a wave function.
///
/// # Errors
/// `ErrorKind::File` if the file cannot be read, is from a newer version, or contradicts this program or itself.
pub fn load(folder: &Path) -> ketformer::Result<RunSettings> {
    checked(folder, check, "the run's weights, wave function and Hamiltonian")
}

/// Reads and checks the settings of the run in `folder`, which must be one of a GPT, trained or fine-tuned.
///
/// # Errors
/// As [`load`].
pub fn load_gpt(folder: &Path) -> ketformer::Result<RunSettings> {
    checked(folder, check_gpt, "the run's weights")
}

/// Reads and checks the settings of the run in `folder`, which must be the training of a GPT, or its fine-tuning if
/// `tuned`.
///
/// # Errors
/// As [`load`]; `ErrorKind::Settings` if it is the other one.
pub fn load_gpt_run(folder: &Path, tuned: bool) -> ketformer::Result<RunSettings> {
    let settings = load_gpt(folder)?;
    if settings.groups.contains_key(gpt::tune::GROUP.name) == tuned {
        return Ok(settings);
    }
    let command = if tuned { "train" } else { "tune" };
    let text = format!("{} is a run of `ketformer gpt {command}`, which resumes it", folder.display());
    Err(Error::new(ErrorKind::Settings, text))
}

/// Reads the settings and checks them. `instead` can be given instead of the run.
fn checked(
    folder: &Path,
    check: impl FnOnce(&RunSettings) -> Result<(), String>,
    instead: &str,
) -> ketformer::Result<RunSettings> {
    let path = folder.join(SETTINGS_FILE);
    let settings = RunSettings::load(&path)?;
    match check(&settings) {
        Ok(()) => Ok(settings),
        Err(what) => {
            let text = format!("settings.json: {} {what}; restore it, or give {instead} instead", path.display());
            Err(Error::new(ErrorKind::File, text))
        }
    }
}

/// Checks groups, keys and values of a run of a GPT.
fn check_gpt(settings: &RunSettings) -> Result<(), String> {
    let Some(values) = settings.groups.get(gpt::GROUP.name) else {
        return Err("is of a run of a wave function, which the commands without gpt read".into());
    };
    check_values(&gpt::GROUP, values)?;
    let tune = &gpt::tune::GROUP;
    if let Some(name) = settings.groups.keys().find(|name| ![gpt::GROUP.name, tune.name].contains(&name.as_str())) {
        return Err(format!("has the unknown group `{name}`"));
    }
    let (group, typed, values) = match (command(settings)?, settings.groups.get(tune.name)) {
        (Command::Gpt { command: GptCommand::Train(arguments) }, None) => (&gpt::GROUP, arguments.settings, values),
        (Command::Gpt { command: GptCommand::Tune(arguments) }, Some(values)) => {
            check_values(tune, values)?;
            (tune, split_runs(&arguments.words).0, values)
        }
        _ => return Err(unreadable()),
    };
    check_group(group, with_changes(group, typed, settings), Some(values))?;
    check_seed(settings, group, values)
}

/// Checks groups, keys and values of a run of a wave function.
fn check(settings: &RunSettings) -> Result<(), String> {
    if settings.is_gpt() {
        return Err("is of a run of a GPT, which `ketformer gpt` reads".into());
    }
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
    let Command::Train(arguments) = command(settings)? else { return Err(unreadable()) };
    let (model, hamiltonian) = (&arguments.groups.model, &arguments.groups.hamiltonian);
    let given = model.given().iter().chain(hamiltonian.given());
    let groups = given.map(|(group, words)| (*group, words.clone(), settings.groups.get(group.name)));
    let train = with_changes(&train::GROUP, arguments.words(), settings);
    let groups = groups.chain([(&train::GROUP, train, Some(&settings.train))]);
    for (group, words, values) in groups {
        check_group(group, words, values)?;
    }
    let begun = |name: &String| model.given().iter().chain(hamiltonian.given()).any(|(group, _)| group.name == name);
    match settings.groups.keys().find(|name| !begun(name)) {
        Some(name) => Err(format!("has the group `{name}`, which its command lacks")),
        None => check_seed(settings, &train::GROUP, &settings.train),
    }
}

/// Command that began the run.
fn command(settings: &RunSettings) -> Result<Command, String> {
    let typed = unquoted(&settings.command).ok_or_else(unreadable)?;
    Arguments::try_parse_from(typed).map(|arguments| arguments.command).map_err(|_| unreadable())
}

fn unreadable() -> String {
    "has a command that this version cannot read".into()
}

/// Words of the command in the group of the run, with the changes of its resumptions.
fn with_changes(group: &'static Group, mut words: Vec<String>, settings: &RunSettings) -> Vec<String> {
    let key = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        group.keys.iter().find(|key| key.name == name || key.former == Some(name)).map(|key| key.name)
    };
    for change in settings.resumptions.iter().flat_map(|resumption| resumption.changes.iter().cloned()) {
        words.retain(|word| key(word) != key(&change));
        words.push(change);
    }
    words
}

/// Checks that the `values` of a group are those of the `words` of the command.
fn check_group(group: &'static Group, words: Vec<String>, values: Option<&Map<String, Value>>) -> Result<(), String> {
    let values = values.ok_or_else(|| format!("lacks the group `{}` of its command", group.name))?;
    let begun = group.parse(&words).map_err(|_| unreadable())?;
    let now = group.parse(&self::words(values)).map_err(|error| error.to_string())?;
    let values = now.map();
    for (name, expected) in begun.map().iter().filter(|(name, _)| begun.is_given(name)) {
        match values.get(name).filter(|_| now.is_given(name)) {
            Some(value) if same(value, expected) => {}
            Some(value) => return Err(format!("has {name} = {value} in `{}`, its command {expected}", group.name)),
            None => return Err(format!("lacks {name} = {expected} in `{}`, which its command has", group.name)),
        }
    }
    Ok(())
}

/// Checks that the settings of the group of the run have the seed of the run.
fn check_seed(settings: &RunSettings, group: &Group, values: &Map<String, Value>) -> Result<(), String> {
    match values.get("seed").and_then(Value::as_u64) == Some(settings.seed) {
        true => Ok(()),
        false => Err(format!("has the seed {}, and another one in `{}`", settings.seed, group.name)),
    }
}
