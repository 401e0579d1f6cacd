//! Settings as KEY=VALUE words: a group declares its keys in a table, against which the words of the command line are
//! checked.

pub mod interval;
mod key;
pub mod memory_size;
pub mod range;
pub mod typed;
mod value;

use std::collections::BTreeMap;

use ketformer::Result;

use interval::Interval;
pub use key::{Group, Key, KeyKind, words};
pub use value::{Extent, Value};

/// Settings of one group: given values over defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    group: &'static Group,
    values: BTreeMap<&'static str, Value>,
    given: Vec<&'static str>,
    renamed: Vec<&'static Key>,
}

impl Settings {
    /// The defaults of `group`.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for a default that is not a value of its key, which is a bug in this program.
    pub fn defaults(group: &'static Group) -> Result<Self> {
        let mut settings = Self { group, values: BTreeMap::new(), given: Vec::new(), renamed: Vec::new() };
        for key in group.keys {
            if let Some(default) = key.default {
                settings.values.insert(key.name, key.value(default).map_err(|text| group.error(text))?);
            }
        }
        Ok(settings)
    }

    /// Records the value of a key that was given as `name`, its present or former one.
    pub fn give(&mut self, key: &'static Key, name: &str, value: Value) {
        self.given.push(key.name);
        if name != key.name {
            self.renamed.push(key);
        }
        match value {
            Value::Nothing if key.kind != KeyKind::Seed => self.values.remove(key.name),
            value => self.values.insert(key.name, value),
        };
    }
}

/// Accessors. They panic if the table declares the key with another kind, which is a bug in this program.
impl Settings {
    /// Group of these settings.
    pub fn group(&self) -> &'static Group {
        self.group
    }

    /// Whether the key was given.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// Whether the key was given with another value than its default.
    pub fn is_changed(&self, name: &str) -> bool {
        let default = Self::defaults(self.group).ok().and_then(|mut defaults| defaults.values.remove(name));
        self.is_given(name) && self.values.get(name) != default.as_ref()
    }

    /// One note for each key that was given under its former name.
    pub fn renamed(&self) -> impl Iterator<Item = String> {
        self.renamed.iter().filter_map(|key| Some(format!("{}= is now {}=", key.former?, key.name)))
    }

    /// Keys that were given and have no effect.
    pub fn inert(&self) -> impl Iterator<Item = &'static Key> {
        self.group.keys.iter().filter(|key| key.inert.is_some() && self.is_given(key.name))
    }

    /// Settings that have a value and an effect, in the order of the table.
    pub fn resolved(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let keys = self.group.keys.iter().filter(|key| key.inert.is_none());
        keys.filter_map(|key| self.values.get(key.name).map(|value| (key.name, value)))
    }

    /// [`Self::resolved`] as a JSON object.
    pub fn map(&self) -> serde_json::Map<String, serde_json::Value> {
        self.resolved().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// Replaces a value by its resolved one, such as a drawn seed.
    pub fn resolve(&mut self, name: &'static str, value: Value) {
        self.values.insert(name, value);
    }

    /// Whole number of a key that may be absent.
    pub fn optional_count(&self, name: &str) -> Option<u64> {
        match self.values.get(name) {
            Some(Value::Count(value)) => Some(*value),
            None | Some(Value::Nothing) => None,
            Some(other) => panic!("{name} is read as a count and is {other:?}"),
        }
    }

    /// Interval of a key with a default.
    pub fn interval(&self, name: &str) -> Interval {
        match self.values.get(name) {
            Some(Value::Interval(value)) => *value,
            other => panic!("{name} is read as an interval and is {other:?}"),
        }
    }

    /// Number of sites or sides of a key that may be absent.
    pub fn optional_extent(&self, name: &str) -> Option<Extent> {
        match self.values.get(name) {
            Some(Value::Extent(value)) => Some(*value),
            None => None,
            Some(other) => panic!("{name} is read as an extent and is {other:?}"),
        }
    }

    /// Whole number of a key with a default.
    pub fn count(&self, name: &str) -> u64 {
        self.optional_count(name).unwrap_or_else(|| panic!("{name} is read as a count and has no default"))
    }

    /// Whole number of a key with a default, as a size in memory; saturates at `usize::MAX`.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.count(name)).unwrap_or(usize::MAX)
    }

    /// Number of a key that may be absent.
    pub fn optional_real(&self, name: &str) -> Option<f64> {
        match self.values.get(name) {
            Some(Value::Real(value)) => Some(*value),
            None | Some(Value::Nothing) => None,
            Some(other) => panic!("{name} is read as a number and is {other:?}"),
        }
    }

    /// Number of a key of [`KeyKind::PositiveOr`] that may be absent; `Some(None)` for its `word`.
    pub fn optional_real_or(&self, name: &str, word: &str) -> Option<Option<f64>> {
        match self.values.get(name) {
            Some(Value::Text(text)) if text == word => Some(None),
            _ => self.optional_real(name).map(Some),
        }
    }

    /// Number of a key with a default.
    pub fn real(&self, name: &str) -> f64 {
        self.optional_real(name).unwrap_or_else(|| panic!("{name} is read as a number and has no default"))
    }

    /// Value of a switch.
    pub fn switch(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Switch(value)) => *value,
            other => panic!("{name} is read as a switch and is {other:?}"),
        }
    }

    /// Value in `table` of the word of a key whose words are those of the table.
    ///
    /// # Panics
    /// If the key has other words.
    pub fn choice<T: Clone>(&self, name: &str, table: &[(&'static str, T)]) -> T {
        let word = self.text(name);
        let found = table.iter().find(|(known, _)| *known == word);
        found.unwrap_or_else(|| unreachable!("{name}={word} of --{} is not in its table", self.group.name)).1.clone()
    }

    /// Value of a key of [`KeyKind::Axes`]: whether it holds along x and y.
    ///
    /// # Panics
    /// If the key is none of these.
    pub fn axes(&self, name: &str) -> [bool; 2] {
        match self.values.get(name) {
            Some(Value::Switch(both)) => [*both; 2],
            Some(Value::Text(axis)) => [axis == "x", axis == "y"],
            other => unreachable!("{name} of --{} is no set of axes: {other:?}", self.group.name),
        }
    }

    /// Text of a key that may be absent.
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Value::Text(value)) => Some(value),
            None => None,
            other => panic!("{name} is read as a text and is {other:?}"),
        }
    }

    /// Text of a key with a default.
    pub fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_else(|| panic!("{name} is read as a text and has no default"))
    }
}
