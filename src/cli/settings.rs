//! Typed KEY=VALUE settings: a group declares its keys in a table, and what is typed is checked against it.

use std::collections::BTreeMap;
use std::fmt;

use ketformer::{Error, ErrorKind, Result};

use super::suggestion::closest;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number between the two, both included.
    Count(u64, u64),
    /// A number of sites, or the sides of a rectangle of them as in `4x6`; each number from 1 to this.
    Extent(u64),
    /// A finite number between the two, both included.
    Real(f64, f64),
    /// A finite number above 0, at most this.
    Positive(f64),
    /// Any whole number of 64 bits, or `None`: draw one.
    Seed,
    /// `true` or `false`, as in Python or as in Rust.
    Switch,
    /// One of these words, in letters of either case.
    Choice(&'static [&'static str]),
    /// Any text that is not empty.
    Text,
}

/// One key of a group.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is typed.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// As it would be typed; `None` where leaving the key out is a choice of its own, which `help` explains.
    pub default: Option<&'static str>,
    /// What the number counts or is measured in; empty for none.
    pub unit: &'static str,
    /// One line for `ketformer help GROUP`.
    pub help: &'static str,
    /// For a key of the reference that changes nothing here: why it does not.
    pub inert: Option<&'static str>,
}

impl Key {
    /// A key with a default.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, kind, default: Some(default), unit, help, inert: None }
    }

    /// A key that may be left out.
    pub const fn optional(name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind, default: None, unit, help, inert: None }
    }

    /// A key that is accepted and changes nothing, with the reason.
    pub const fn inert(name: &'static str, kind: Kind, default: &'static str, why: &'static str) -> Self {
        Self { name, kind, default: Some(default), unit: "", help: "accepted, changes nothing", inert: Some(why) }
    }
}

/// A group of settings, such as `--ptf`.
#[derive(Debug)]
pub struct Group {
    /// The name, without the dashes.
    pub name: &'static str,
    /// What the group describes, in one line.
    pub about: &'static str,
    /// Its keys, in the order in which they are listed.
    pub keys: &'static [Key],
}

/// A value of a [`Kind`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Count`] and [`Kind::Seed`].
    Count(u64),
    /// Of [`Kind::Extent`].
    Extent(Extent),
    /// Of [`Kind::Real`] and [`Kind::Positive`].
    Real(f64),
    /// Of [`Kind::Switch`].
    Switch(bool),
    /// Of [`Kind::Choice`] and [`Kind::Text`].
    Text(String),
    /// `None`, where the key allows it.
    Nothing,
}

/// How many sites, and perhaps how they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// So many.
    Sites(u64),
    /// A rectangle of these sides.
    Sides([u64; 2]),
}

impl Extent {
    /// All sites.
    pub fn sites(self) -> u64 {
        match self {
            Self::Sites(sites) => sites,
            Self::Sides([x, y]) => x.saturating_mul(y),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sites(sites) => sites.fmt(f),
            Self::Sides([x, y]) => write!(f, "{x}x{y}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(value) => value.fmt(f),
            Self::Extent(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Switch(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Nothing => f.write_str("None"),
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Count(value) => (*value).into(),
            Value::Extent(Extent::Sites(value)) => (*value).into(),
            Value::Extent(sides) => sides.to_string().into(),
            Value::Real(value) => (*value).into(),
            Value::Switch(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::Nothing => Self::Null,
        }
    }
}

/// The settings of one group: what was given, over the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    group: &'static Group,
    values: BTreeMap<&'static str, Value>,
    given: Vec<&'static str>,
}

impl Group {
    /// Checks `words`, each KEY=VALUE, against the table.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], one line with a remedy, for the first word at fault.
    pub fn parse(&'static self, words: &[String]) -> Result<Settings> {
        let mut settings = Settings { group: self, values: BTreeMap::new(), given: Vec::new() };
        for key in self.keys {
            if let Some(default) = key.default {
                settings.values.insert(key.name, self.value(key, default)?);
            }
        }
        for word in words {
            let Some((name, text)) = word.split_once('=') else {
                return Err(
                    self.error(format!("`{word}` is not KEY=VALUE; `ketformer help {}` lists the keys", self.name))
                );
            };
            let key = self.key(name)?;
            if settings.given.contains(&key.name) {
                return Err(self.error(format!("{name} is given twice; keep one of them")));
            }
            let value = self.value(key, text)?;
            settings.given.push(key.name);
            match value {
                Value::Nothing if key.kind != Kind::Seed => settings.values.remove(key.name),
                value => settings.values.insert(key.name, value),
            };
        }
        Ok(settings)
    }

    /// An error about this group.
    pub fn error(&self, text: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Settings, format!("{}: {text}", self.name))
    }

    fn key(&self, name: &str) -> Result<&'static Key> {
        if let Some(key) = self.keys.iter().find(|key| key.name == name) {
            return Ok(key);
        }
        let has = |group: &&'static Group| group.keys.iter().any(|key| key.name == name);
        let elsewhere: Vec<String> =
            super::groups::all().filter(has).map(|group| format!("--{}", group.name)).collect();
        let hint = match closest(name, self.keys.iter().map(|key| key.name)) {
            Some(near) if near.eq_ignore_ascii_case(name) || elsewhere.is_empty() => format!("did you mean {near}?"),
            Some(near) => format!("did you mean {near}? There is one in {}", elsewhere.join(" and ")),
            None if !elsewhere.is_empty() => format!("it is a key of {}", elsewhere.join(" and ")),
            None => {
                let names: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
                format!("the keys are {}", names.join(", "))
            }
        };
        Err(self.error(format!("unknown key {name}; {hint} (`ketformer help {}`)", self.name)))
    }

    fn value(&self, key: &Key, text: &str) -> Result<Value> {
        let name = key.name;
        let fault = |what: String| Err(self.error(format!("{name}={text} {what}")));
        let example = key.default.map_or(String::new(), |default| format!(", for example {name}={default}"));
        if text.is_empty() {
            return Err(self.error(format!("{name}= has no value; write one after the sign or leave {name} out")));
        }
        let nothing = text.eq_ignore_ascii_case("none");
        if nothing && (key.default.is_none() || key.kind == Kind::Seed) {
            return Ok(Value::Nothing);
        }
        let count = |text: &str, least: u64, most: u64| match text.parse::<i128>() {
            Ok(number) if number < i128::from(least) => Err(format!("is too small; give at least {least}")),
            Ok(number) if number > i128::from(most) => Err(format!("is too large; give at most {most}")),
            Ok(number) => Ok(number as u64),
            Err(_) if is_digits(text) => Err(format!("is too large; give at most {most}")),
            Err(_) => Err(format!("is not a whole number; write it in digits{example}")),
        };
        match key.kind {
            Kind::Count(least, most) => count(text, least, most).map(Value::Count).or_else(fault),
            Kind::Extent(most) => {
                let extent = match text.split_once(['x', 'X']) {
                    Some((x, y)) => count(x, 1, most).and_then(|x| Ok(Extent::Sides([x, count(y, 1, most)?]))),
                    None => count(text, 1, most).map(Extent::Sites),
                };
                extent.map(Value::Extent).or_else(fault)
            }
            Kind::Seed => match text.parse::<u64>() {
                Ok(number) => Ok(Value::Count(number)),
                Err(_) => fault(format!("is not a seed; give a whole number from 0 to {}", u64::MAX)),
            },
            Kind::Real(..) | Kind::Positive(_) => match text.parse::<f64>() {
                Ok(number) if !number.is_finite() => fault(format!("is not finite; give a finite number{example}")),
                Err(_) => fault(format!("is not a number; write it in digits{example}")),
                Ok(number) => match key.kind {
                    Kind::Positive(_) if number <= 0.0 => fault("is too small; give a number above 0".into()),
                    Kind::Real(least, _) if number < least => fault(format!("is too small; give at least {least}")),
                    Kind::Positive(most) | Kind::Real(_, most) if number > most => {
                        fault(format!("is too large; give at most {most}"))
                    }
                    _ => Ok(Value::Real(number)),
                },
            },
            Kind::Switch => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => fault(format!("is neither true nor false; give {name}=true or {name}=false")),
            },
            Kind::Choice(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
                Some(word) => Ok(Value::Text((*word).into())),
                None => match closest(text, words.iter().copied()) {
                    Some(near) => {
                        fault(format!("is not offered; did you mean {name}={near}? It is one of {}", words.join(", ")))
                    }
                    None => fault(format!("is not offered; give one of {}", words.join(", "))),
                },
            },
            Kind::Text => Ok(Value::Text(text.into())),
        }
    }
}

/// Digits, perhaps behind a plus sign: a number that only its size keeps from being read.
fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reading a key as another kind than the table declares is a mistake in this program, and the accessors panic on it.
impl Settings {
    /// The group that these are of.
    pub fn group(&self) -> &'static Group {
        self.group
    }

    /// Whether the key was typed.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// The keys that were typed and change nothing.
    pub fn inert(&self) -> impl Iterator<Item = &'static Key> {
        self.group.keys.iter().filter(|key| key.inert.is_some() && self.is_given(key.name))
    }

    /// Every setting that has a value and matters, in the order of the table.
    pub fn resolved(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let keys = self.group.keys.iter().filter(|key| key.inert.is_none());
        keys.filter_map(|key| self.values.get(key.name).map(|value| (key.name, value)))
    }

    /// [`Self::resolved`] as a JSON object.
    pub fn map(&self) -> serde_json::Map<String, serde_json::Value> {
        self.resolved().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// Replaces a value by what it was resolved to.
    pub fn resolve(&mut self, name: &'static str, value: Value) {
        self.values.insert(name, value);
    }

    /// A whole number that may be absent.
    pub fn optional_count(&self, name: &str) -> Option<u64> {
        match self.values.get(name) {
            Some(Value::Count(value)) => Some(*value),
            None | Some(Value::Nothing) => None,
            Some(other) => panic!("{name} is read as a count and is {other:?}"),
        }
    }

    /// A number of sites, or sides, that may be absent.
    pub fn optional_extent(&self, name: &str) -> Option<Extent> {
        match self.values.get(name) {
            Some(Value::Extent(value)) => Some(*value),
            None => None,
            Some(other) => panic!("{name} is read as an extent and is {other:?}"),
        }
    }

    /// A whole number that has a default.
    pub fn count(&self, name: &str) -> u64 {
        self.optional_count(name).unwrap_or_else(|| panic!("{name} is read as a count and has no default"))
    }

    /// A whole number that has a default and sizes something in memory.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.count(name)).unwrap_or(usize::MAX)
    }

    /// A number that may be absent.
    pub fn optional_real(&self, name: &str) -> Option<f64> {
        match self.values.get(name) {
            Some(Value::Real(value)) => Some(*value),
            None | Some(Value::Nothing) => None,
            Some(other) => panic!("{name} is read as a number and is {other:?}"),
        }
    }

    /// A number that has a default.
    pub fn real(&self, name: &str) -> f64 {
        self.optional_real(name).unwrap_or_else(|| panic!("{name} is read as a number and has no default"))
    }

    /// A switch.
    pub fn switch(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Switch(value)) => *value,
            other => panic!("{name} is read as a switch and is {other:?}"),
        }
    }

    /// A text that may be absent.
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Value::Text(value)) => Some(value),
            None => None,
            other => panic!("{name} is read as a text and is {other:?}"),
        }
    }

    /// A text that has a default.
    pub fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_else(|| panic!("{name} is read as a text and has no default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SAMPLE: Group = Group {
        name: "sample",
        about: "for the tests",
        keys: &[
            Key::new("L", Kind::Count(1, 100), "16", "sites", ""),
            Key::optional("lattice", Kind::Extent(100), "sites", ""),
            Key::new("delta", Kind::Real(-5.0, 5.0), "1", "", ""),
            Key::optional("clip", Kind::Positive(9.0), "", ""),
            Key::new("seed", Kind::Seed, "0", "", ""),
            Key::new("unique", Kind::Switch, "true", "", ""),
            Key::new("schedule", Kind::Choice(&["constant", "cosine"]), "constant", "", ""),
            Key::optional("dir", Kind::Text, "", ""),
            Key::inert("NLOOPS", Kind::Count(1, 9), "1", "nothing to loop over"),
        ],
    };

    fn parse(line: &str) -> Result<Settings> {
        SAMPLE.parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    fn message(line: &str) -> String {
        let text = parse(line).expect_err(line).to_string();
        assert!(text.starts_with("sample: ") && !text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn values_are_typed_and_defaults_stand_where_nothing_is_given() {
        let given = parse("L=64 delta=-2.5e-1 clip=0.5 seed=7 unique=False schedule=Cosine dir=a=b NLOOPS=4").unwrap();
        assert_eq!((given.count("L"), given.size("L"), given.real("delta")), (64, 64, -0.25));
        assert_eq!((given.optional_real("clip"), given.optional_count("seed")), (Some(0.5), Some(7)));
        assert_eq!((given.switch("unique"), given.text("schedule")), (false, "cosine"));
        assert_eq!(given.optional_text("dir"), Some("a=b"));
        assert_eq!(given.inert().map(|key| key.name).collect::<Vec<_>>(), ["NLOOPS"]);
        let default = parse("").unwrap();
        assert_eq!((default.count("L"), default.real("delta"), default.optional_real("clip")), (16, 1.0, None));
        assert_eq!((default.switch("unique"), default.is_given("L"), default.inert().count()), (true, false, 0));
    }

    #[test]
    fn none_draws_a_seed_and_leaves_optional_keys_out() {
        let given = parse("seed=None clip=none").unwrap();
        assert_eq!((given.optional_count("seed"), given.optional_real("clip")), (None, None));
        assert!(message("L=None").contains("whole number"));
    }

    #[test]
    fn an_extent_is_a_number_or_two_sides() {
        let extent = |line: &str| parse(line).unwrap().optional_extent("lattice");
        assert_eq!(extent("lattice=6"), Some(Extent::Sites(6)));
        assert_eq!(extent("lattice=2x3"), Some(Extent::Sides([2, 3])));
        assert_eq!((extent(""), extent("lattice=2x3").unwrap().sites()), (None, 6));
        assert!(message("lattice=2x0").contains("at least 1"));
        assert!(message("lattice=2x101").contains("at most 100"));
        assert!(message("lattice=2x").contains("whole number"));
    }

    #[test]
    fn resolved_settings_parse_back_to_themselves() {
        let mut first = parse("delta=0.1 schedule=cosine NLOOPS=2").unwrap();
        first.resolve("seed", Value::Count(u64::MAX));
        let words: Vec<String> = first.resolved().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(words.join(" "), "L=16 delta=0.1 seed=18446744073709551615 unique=true schedule=cosine");
        let second = SAMPLE.parse(&words).unwrap();
        assert_eq!(first.values.iter().filter(|v| v.0 != &"NLOOPS").collect::<Vec<_>>(), {
            second.values.iter().filter(|v| v.0 != &"NLOOPS").collect::<Vec<_>>()
        });
    }

    #[test]
    fn numbers_out_of_range_name_the_range() {
        assert!(message("L=0").contains("at least 1"));
        assert!(message("L=-4").contains("at least 1"));
        assert!(message("L=101").contains("at most 100"));
        assert!(message("L=1000000000000").contains("at most 100"));
        assert!(message("L=99999999999999999999999999999999999999999999").contains("at most 100"));
        assert!(message("L=10^12").contains("whole number"));
        assert!(message("L=4.5").contains("whole number"));
        assert!(message("L=1e3").contains("whole number"));
        assert!(message("delta=6").contains("at most 5"));
        assert!(message("clip=0").contains("above 0"));
        assert!(message("clip=-1").contains("above 0"));
        assert!(message("clip=10").contains("at most 9"));
        assert!(message("seed=-1").contains("seed"));
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for text in ["NaN", "nan", "inf", "-inf", "1e999"] {
            assert!(message(&format!("delta={text}")).contains("finite number"), "{text}");
            assert!(message(&format!("clip={text}")).contains("finite number"), "{text}");
        }
        assert!(message("delta=one").contains("not a number"));
    }

    #[test]
    fn unknown_and_doubled_keys_are_refused_with_a_suggestion() {
        assert!(message("detla=1").contains("did you mean delta?"));
        assert!(message("l=4").contains("did you mean L?"));
        assert!(message("schedule=cosin").contains("schedule=cosine"));
        assert!(message("Omega=4").contains("it is a key of --rydberg"));
        assert!(message("zzzzzz=4").contains("the keys are L, lattice, delta"));
        assert!(message("L=4 L=4").contains("twice"));
        assert!(message("L").contains("KEY=VALUE"));
        assert!(message("L=").contains("no value"));
        assert!(message("unique=1").contains("unique=true"));
    }
}
