//! Groups of settings as flags, such as `--ptf patch=2x2 Nh=32`.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

use super::Group;

/// Table of groups, one flag each.
pub trait Table {
    /// The groups, in the order in which they are listed.
    fn groups() -> impl Iterator<Item = &'static Group>;
}

/// Groups of a table that were given, in the order of the table, each with its unparsed words.
#[derive(Debug, Clone)]
pub struct Typed<T> {
    groups: Vec<(&'static Group, Vec<String>)>,
    table: PhantomData<T>,
}

impl<T: Table> Typed<T> {
    fn of(mut words: impl FnMut(&'static Group) -> Option<Vec<String>>) -> Self {
        let groups = T::groups().filter_map(|group| Some((group, words(group)?))).collect();
        Self { groups, table: PhantomData }
    }

    /// Groups in the settings of a run folder, as they would be typed.
    pub fn of_run(groups: &BTreeMap<String, Map<String, Value>>) -> Self {
        Self::of(|group| groups.get(group.name).map(words))
    }

    /// Returns a copy in which `other` replaces `word`.
    pub fn with_word(&self, word: &str, other: &str) -> Self {
        let replaced = |own: &String| if own == word { other.to_string() } else { own.clone() };
        let groups = self.groups.iter().map(|(group, words)| (*group, words.iter().map(replaced).collect())).collect();
        Self { groups, table: PhantomData }
    }

    /// Whether any group was given.
    pub fn is_given(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Given groups with their words.
    pub fn given(&self) -> &[(&'static Group, Vec<String>)] {
        &self.groups
    }
}

/// Words of a group of a settings file, as they would be typed.
pub fn words(group: &Map<String, Value>) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".into(),
        value => value.to_string(),
    };
    group.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
}

impl<T: Table> FromArgMatches for Typed<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let words = |name| matches.get_many::<String>(name).unwrap_or_default().cloned().collect();
        Ok(Self::of(|group| matches.contains_id(group.name).then(|| words(group.name))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Table> Args for Typed<T> {
    fn augment_args(command: Command) -> Command {
        let flag = |group: &'static Group| {
            let flag = Arg::new(group.name).long(group.name).help(group.about);
            flag.value_name("KEY=VALUE").num_args(0..).action(ArgAction::Set)
        };
        command.args(T::groups().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_typed_as_it_was_written() {
        let group = Map::from_iter([
            ("patch".to_string(), "2x2".into()),
            ("Nh".into(), 32.into()),
            ("delta".into(), 0.1.into()),
            ("repeat_pre".into(), false.into()),
        ]);
        assert_eq!(words(&group), ["patch=2x2", "Nh=32", "delta=0.1", "repeat_pre=false"]);
    }
}
