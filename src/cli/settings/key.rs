//! Keys of a group of settings, declared in a table.

use std::fmt;

use ketformer::{Error, ErrorKind};

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
    /// A finite number above 0 and at most this maximum, or the word.
    PositiveOr(f64, &'static str),
    /// An unsigned 64-bit integer, or `None` for a random one.
    Seed,
    /// `true` or `false`, in either case: Python's `True` is accepted.
    Switch,
    /// Axes of a lattice: `true` for both, `false` for none, `x` or `y`.
    Axes,
    /// A number of steps up to this maximum, a time, or both.
    Interval(u64),
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

impl Group {
    /// Settings error whose message starts with the name of the group.
    pub fn error(&self, text: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Settings, format!("{}: {text}", self.name))
    }
}
