//! Values of keys: their types, and the check of a typed text against the kind of its key.

use std::fmt;

use super::interval::Interval;
use super::key::{Key, KeyKind};
use crate::cli::suggestion::closest;

/// A value of a [`KeyKind`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Value of [`KeyKind::Count`] and [`KeyKind::Seed`].
    Count(u64),
    /// Value of [`KeyKind::Extent`].
    Extent(Extent),
    /// Value of [`KeyKind::Real`] and [`KeyKind::Positive`], and number of [`KeyKind::PositiveOr`].
    Real(f64),
    /// Value of [`KeyKind::Switch`].
    Switch(bool),
    /// Value of [`KeyKind::Interval`].
    Interval(Interval),
    /// Value of [`KeyKind::Choice`] and [`KeyKind::Text`], and word of [`KeyKind::PositiveOr`].
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
            Self::Interval(value) => value.fmt(f),
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
            Value::Interval(Interval { steps: Some(steps), time: None }) => (*steps).into(),
            Value::Interval(interval) => interval.to_string().into(),
            Value::Text(value) => value.as_str().into(),
            Value::Nothing => Self::Null,
        }
    }
}

impl Key {
    /// Value that `text` denotes.
    ///
    /// # Errors
    /// The message, without the name of the group, if this is not a value of the key.
    pub fn value(&self, text: &str) -> Result<Value, String> {
        let name = self.name;
        let fault = |what: String| Err(format!("{name}={text} {what}"));
        let example = self.default.map_or(String::new(), |default| format!(", for example {name}={default}"));
        if text.is_empty() {
            return Err(format!("{name}= has no value; write one after the sign or leave {name} out"));
        }
        let nothing = text.eq_ignore_ascii_case("none");
        if nothing && (self.default.is_none() || self.kind == KeyKind::Seed) {
            return Ok(Value::Nothing);
        }
        let count = |text: &str, least: u64, most: u64| match text.parse::<i128>() {
            Ok(number) if number < i128::from(least) => Err(format!("is too small; give at least {least}")),
            Ok(number) if number > i128::from(most) => Err(format!("is too large; give at most {most}")),
            Ok(number) => Ok(number as u64),
            Err(_) if is_digits(text) => Err(format!("is too large; give at most {most}")),
            Err(_) => Err(format!("is not a whole number; write it in digits{example}")),
        };
        match self.kind {
            KeyKind::Count(least, most) => count(text, least, most).map(Value::Count).or_else(fault),
            KeyKind::Extent(most) => {
                let extent = match text.split_once(['x', 'X']) {
                    Some((x, y)) => count(x, 1, most).and_then(|x| Ok(Extent::Sides([x, count(y, 1, most)?]))),
                    None => count(text, 1, most).map(Extent::Sites),
                };
                extent.map(Value::Extent).or_else(fault)
            }
            KeyKind::Interval(most) => Interval::parse(text, most).map(Value::Interval).or_else(fault),
            KeyKind::Seed => match text.parse::<u64>() {
                Ok(number) => Ok(Value::Count(number)),
                Err(_) => fault(format!("is not a seed; give a whole number from 0 to {}", u64::MAX)),
            },
            KeyKind::PositiveOr(_, word) if text.eq_ignore_ascii_case(word) => Ok(Value::Text(word.into())),
            KeyKind::Real(..) | KeyKind::Positive(_) | KeyKind::PositiveOr(..) => match text.parse::<f64>() {
                Ok(number) if !number.is_finite() => fault(format!("is not finite; give a finite number{example}")),
                Err(_) => match self.kind {
                    KeyKind::PositiveOr(_, word) => {
                        fault(format!("is not a number; give one in digits, or {name}={word}"))
                    }
                    _ => fault(format!("is not a number; write it in digits{example}")),
                },
                Ok(number) => match self.kind {
                    KeyKind::Positive(_) | KeyKind::PositiveOr(..) if number <= 0.0 => {
                        fault("is too small; give a number above 0".into())
                    }
                    KeyKind::Real(least, _) if number < least => fault(format!("is too small; give at least {least}")),
                    KeyKind::Positive(most) | KeyKind::PositiveOr(most, _) | KeyKind::Real(_, most)
                        if number > most =>
                    {
                        fault(format!("is too large; give at most {most}"))
                    }
                    _ => Ok(Value::Real(number)),
                },
            },
            KeyKind::Switch | KeyKind::Axes => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                axis @ ("x" | "y") if self.kind == KeyKind::Axes => Ok(Value::Text(axis.into())),
                _ if self.kind == KeyKind::Axes => {
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
