//! Typed KEY=VALUE settings: a group declares its keys in a table, and the words of the command line are checked
//! against it.

pub mod memory_size;
pub mod range;
pub mod typed;

use std::collections::BTreeMap;
use std::fmt;

use ketformer::{Error, ErrorKind, Result};

use crate::cli::suggestion::closest;

/// Type and range of a key's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeyKind {
    /// A whole number between the two limits, both included.
    Count(u64, u64),
    /// A number of sites, or the sides of a rectangle as in `4x6`. Each number is from 1 to this maximum.
    Extent(u64),
    /// A finite number between the two limits, both included.
    Real(f64, f64),
    /// A finite number above 0 and at most this maximum.
    Positive(f64),
    /// An unsigned 64-bit integer, or `None` for a random one.
    Seed,
    /// `true` or `false`, in either case: Python's `True` is accepted.
    Switch,
    /// Axes of a lattice: `true` for both, `false` for none, `x` or `y`.
    Axes,
    /// One of these words, case-insensitive.
    Choice(&'static [&'static str]),
    /// Any nonempty text.
    Text,
}

/// Words of a table of choices, for [`KeyKind::Choice`].
pub const fn words<T, const N: usize>(table: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = table[at].0;
        at += 1;
    }
    words
}

/// One key of a group.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name on the command line.
    pub name: &'static str,
    /// Type and range of its value.
    pub kind: KeyKind,
    /// Default value as written on the command line. `None` if `help` describes what omitting the key means.
    pub default: Option<&'static str>,
    /// Unit of the value, or what it counts. Empty for none.
    pub unit: &'static str,
    /// One line for `ketformer help GROUP`.
    pub help: &'static str,
    /// Reason why a key of the reference code has no effect here; `None` for all other keys.
    pub inert: Option<&'static str>,
    /// Name in earlier versions, which is still accepted.
    pub former: Option<&'static str>,
}

impl Key {
    /// A key with a default.
    pub const fn new(
        name: &'static str,
        kind: KeyKind,
        default: &'static str,
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, kind, default: Some(default), unit, help, inert: None, former: None }
    }

    /// An optional key without a default.
    pub const fn optional(name: &'static str, kind: KeyKind, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind, default: None, unit, help, inert: None, former: None }
    }

    /// A key that is accepted without effect, with the reason.
    pub const fn inert(name: &'static str, kind: KeyKind, default: &'static str, why: &'static str) -> Self {
        Self {
            name,
            kind,
            default: Some(default),
            unit: "",
            help: "accepted, changes nothing",
            inert: Some(why),
            former: None,
        }
    }

    /// The same key, also accepted under its former `name`.
    pub const fn formerly(self, name: &'static str) -> Self {
        Self { former: Some(name), ..self }
    }
}

/// Group of settings, such as `--ptf`.
#[derive(Debug)]
pub struct Group {
    /// Name without the dashes.
    pub name: &'static str,
    /// One-line description.
    pub about: &'static str,
    /// Its keys, in the order in which they are listed.
    pub keys: &'static [Key],
}

/// A value of a [`KeyKind`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Value of [`KeyKind::Count`] and [`KeyKind::Seed`].
    Count(u64),
    /// Value of [`KeyKind::Extent`].
    Extent(Extent),
    /// Value of [`KeyKind::Real`] and [`KeyKind::Positive`].
    Real(f64),
    /// Value of [`KeyKind::Switch`].
    Switch(bool),
    /// Value of [`KeyKind::Choice`] and [`KeyKind::Text`].
    Text(String),
    /// `None`, if the key allows it.
    Nothing,
}

/// Size of a lattice: a number of sites, or the sides of a rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Number of sites.
    Sites(u64),
    /// Sides of a rectangle.
    Sides([u64; 2]),
}

impl Extent {
    /// Number of sites; saturates instead of overflowing.
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

/// Settings of one group: given values over defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    group: &'static Group,
    values: BTreeMap<&'static str, Value>,
    given: Vec<&'static str>,
    renamed: Vec<&'static Key>,
}

impl Group {
    /// Checks `words`, each KEY=VALUE, against the table.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], one line with a remedy, for the first word at fault.
    pub fn parse(&'static self, words: &[String]) -> Result<Settings> {
        let mut settings = Settings { group: self, values: BTreeMap::new(), given: Vec::new(), renamed: Vec::new() };
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
            if name != key.name {
                settings.renamed.push(key);
            }
            match value {
                Value::Nothing if key.kind != KeyKind::Seed => settings.values.remove(key.name),
                value => settings.values.insert(key.name, value),
            };
        }
        Ok(settings)
    }

    /// Settings error whose message starts with the name of the group.
    pub fn error(&self, text: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Settings, format!("{}: {text}", self.name))
    }

    fn key(&self, name: &str) -> Result<&'static Key> {
        if let Some(key) = self.keys.iter().find(|key| key.name == name || key.former == Some(name)) {
            return Ok(key);
        }
        let has = |group: &&'static Self| group.keys.iter().any(|key| key.name == name);
        let elsewhere: Vec<String> =
            crate::cli::groups::all().filter(has).map(|group| format!("--{}", group.name)).collect();
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
        if nothing && (key.default.is_none() || key.kind == KeyKind::Seed) {
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
            KeyKind::Count(least, most) => count(text, least, most).map(Value::Count).or_else(fault),
            KeyKind::Extent(most) => {
                let extent = match text.split_once(['x', 'X']) {
                    Some((x, y)) => count(x, 1, most).and_then(|x| Ok(Extent::Sides([x, count(y, 1, most)?]))),
                    None => count(text, 1, most).map(Extent::Sites),
                };
                extent.map(Value::Extent).or_else(fault)
            }
            KeyKind::Seed => match text.parse::<u64>() {
                Ok(number) => Ok(Value::Count(number)),
                Err(_) => fault(format!("is not a seed; give a whole number from 0 to {}", u64::MAX)),
            },
            KeyKind::Real(..) | KeyKind::Positive(_) => match text.parse::<f64>() {
                Ok(number) if !number.is_finite() => fault(format!("is not finite; give a finite number{example}")),
                Err(_) => fault(format!("is not a number; write it in digits{example}")),
                Ok(number) => match key.kind {
                    KeyKind::Positive(_) if number <= 0.0 => fault("is too small; give a number above 0".into()),
                    KeyKind::Real(least, _) if number < least => fault(format!("is too small; give at least {least}")),
                    KeyKind::Positive(most) | KeyKind::Real(_, most) if number > most => {
                        fault(format!("is too large; give at most {most}"))
                    }
                    _ => Ok(Value::Real(number)),
                },
            },
            KeyKind::Switch | KeyKind::Axes => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                axis @ ("x" | "y") if key.kind == KeyKind::Axes => Ok(Value::Text(axis.into())),
                _ if key.kind == KeyKind::Axes => {
                    fault(format!("is no set of axes; give {name}=true for both, {name}=x, {name}=y or {name}=false"))
                }
                _ => fault(format!("is neither true nor false; give {name}=true or {name}=false")),
            },
            KeyKind::Choice(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
                Some(word) => Ok(Value::Text((*word).into())),
                None => match closest(text, words.iter().copied()) {
                    Some(near) => {
                        fault(format!("is not offered; did you mean {name}={near}? It is one of {}", words.join(", ")))
                    }
                    None => fault(format!("is not offered; give one of {}", words.join(", "))),
                },
            },
            KeyKind::Text => Ok(Value::Text(text.into())),
        }
    }
}

/// Whether the text is digits, possibly after a plus sign. Such a text fails to parse only because it is too large.
fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
    use super::*;

    static SAMPLE: Group = Group {
        name: "sample",
        about: "for the tests",
        keys: &[
            Key::new("L", KeyKind::Count(1, 100), "16", "sites", ""),
            Key::optional("lattice", KeyKind::Extent(100), "sites", ""),
            Key::new("delta", KeyKind::Real(-5.0, 5.0), "1", "", ""),
            Key::optional("clip", KeyKind::Positive(9.0), "", ""),
            Key::new("seed", KeyKind::Seed, "0", "", ""),
            Key::new("unique", KeyKind::Switch, "true", "", ""),
            Key::new("schedule", KeyKind::Choice(&["constant", "cosine"]), "constant", "", ""),
            Key::optional("dir", KeyKind::Text, "", ""),
            Key::inert("NLOOPS", KeyKind::Count(1, 9), "1", "nothing to loop over"),
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
