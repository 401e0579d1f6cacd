//! Check of the text of a settings file.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{AdapterRecord, DeviceLoss, Resumption, RunEnd, RunSettings};

/// What is wrong with a settings file.
pub(super) enum Fault {
    /// It is not from a run, or damaged.
    Damaged(String),
    /// It is from this newer version.
    Newer(String),
}

impl Fault {
    /// Error message of the file at `path`.
    pub(super) fn message(&self, path: &Path) -> String {
        let shown = path.display();
        match self {
            Self::Damaged(what) => format!(
                "settings.json: {shown} is not from a ketformer run or is damaged: {what}; restore it, or give its \
                 weights, wave function and Hamiltonian instead"
            ),
            Self::Newer(version) => format!(
                "settings.json: {shown} is from version {version} of ketformer, which is newer than this one, {}; use \
                 that version",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

/// Message if the value is not a `T`.
fn check<T: DeserializeOwned>(value: &Value) -> Option<String> {
    T::deserialize(value).err().map(|cause| cause.to_string())
}

/// Field of the file with the check of its type.
type Field = (&'static str, fn(&Value) -> Option<String>);

/// Fields that every file has.
const REQUIRED: [Field; 6] = [
    ("version", check::<String>),
    ("command", check::<String>),
    ("adapter", check::<AdapterRecord>),
    ("seed", check::<u64>),
    ("parameters", check::<usize>),
    ("gpu_bytes", check::<u64>),
];
/// Group that a file of a wave function has, and one of a GPT lacks.
const TRAIN: Field = (RunSettings::TRAIN, check::<Map<String, Value>>);
/// Fields that a file can lack.
const OPTIONAL: [Field; 5] = [
    ("started", check::<String>),
    ("wall_seconds", check::<f64>),
    ("resumptions", check::<Vec<Resumption>>),
    ("device_losses", check::<Vec<DeviceLoss>>),
    ("ended", check::<RunEnd>),
];

/// Parses and checks the text of a settings file.
pub(super) fn parsed(text: &str) -> Result<RunSettings, Fault> {
    let damaged = |what: String| Err(Fault::Damaged(what));
    let file = match serde_json::from_str(text) {
        Ok(Strict(Value::Object(file))) => file,
        Ok(_) => return damaged("it is no JSON object".into()),
        Err(cause) => return damaged(cause.to_string()),
    };
    // First: all else may have changed in a newer version.
    if let Some(version) = file.get("version").and_then(Value::as_str) {
        match (numbers(version), numbers(env!("CARGO_PKG_VERSION"))) {
            (Some(theirs), Some(ours)) if theirs > ours => return Err(Fault::Newer(version.into())),
            (None, _) => return damaged(format!("`version` is \"{version}\"")),
            _ => {}
        }
    }
    let train = (!file.contains_key(RunSettings::GPT)).then_some(TRAIN);
    for (name, check) in REQUIRED.into_iter().chain(train) {
        match file.get(name) {
            None => return damaged(format!("it has no `{name}`")),
            Some(value) => {
                if let Some(what) = check(value) {
                    return damaged(format!("`{name}`: {what}"));
                }
            }
        }
    }
    for (name, value) in &file {
        if let Some((_, check)) = OPTIONAL.iter().find(|(known, _)| known == name) {
            if let Some(what) = check(value) {
                return damaged(format!("`{name}`: {what}"));
            }
        } else if !REQUIRED.iter().any(|(known, _)| known == name) && !value.is_object() {
            return damaged(format!("`{name}` is unknown"));
        }
    }
    let settings: RunSettings =
        serde_json::from_value(Value::Object(file)).map_err(|cause| Fault::Damaged(cause.to_string()))?;
    match settings.wall_seconds {
        Some(seconds) if seconds < 0.0 => damaged(format!("`wall_seconds` is {seconds}")),
        _ => Ok(settings),
    }
}

/// The numbers of a version such as 0.1.0 or 0.2.0-beta.1, without what follows them.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let release = version.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = release.split('.').map(|number| number.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() == 3)
}

/// JSON value without duplicate keys, of which `serde_json` would keep the last one.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = access.next_entry::<String, Strict>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"command": "ketformer train", "version": "0.1.0", "adapter": {"name": "", "backend": "",
        "kind": "", "driver": "", "driver_info": ""}, "seed": 1, "parameters": 2, "gpu_bytes": 3, "train": {"L": 4},
        "ptf": {"Nh": 8}, "tfim": {"h": 1.0}}"#;

    /// Message about the file in which `new` replaces `old`.
    fn said(old: &str, new: &str) -> String {
        assert!(FILE.contains(old), "{old}");
        match parsed(&FILE.replacen(old, new, 1)) {
            Ok(_) => "none".into(),
            Err(fault) => fault.message(Path::new("out/1/settings.json")),
        }
    }

    #[test]
    fn every_field_is_checked() {
        assert!(parsed(FILE).is_ok_and(|settings| settings.groups.len() == 2));
        for (old, new, words) in [
            (r#""seed": 1"#, r#""seed": "1""#, ["`seed`", "u64"]),
            (r#""seed": 1"#, r#""seed": -1"#, ["`seed`", "u64"]),
            (r#""seed": 1"#, r#""seed": 1.5"#, ["`seed`", "u64"]),
            (r#""seed": 1, "#, "", ["no `seed`", "restore it"]),
            (r#""seed": 1"#, r#""seed": 1, "seed": 2"#, ["`seed` is there twice", "restore it"]),
            (r#""Nh": 8"#, r#""Nh": 8, "Nh": 16"#, ["`Nh` is there twice", "restore it"]),
            (r#""train": {"L": 4}"#, r#""train": [4]"#, ["`train`", "map"]),
            (r#""tfim": {"h": 1.0}"#, r#""tfim": 3"#, ["`tfim` is unknown", "restore it"]),
            (r#""kind": """#, r#""kind": "", "color": "red""#, ["`adapter`", "`color`"]),
            (r#""seed": 1"#, r#""seed": 1, "wall_seconds": "long""#, ["`wall_seconds`", "f64"]),
            (r#""seed": 1"#, r#""seed": 1, "wall_seconds": -1"#, ["`wall_seconds`", "-1"]),
            (r#""seed": 1"#, r#""seed": 1, "resumptions": {}"#, ["`resumptions`", "sequence"]),
            (r#""seed": 1"#, r#""seed": 1, "ended": {"cause": "bored", "step": 1}"#, ["`ended`", "bored"]),
            (r#""0.1.0""#, r#""one""#, ["`version`", "one"]),
            ("}}", "}", ["is damaged", "weights"]),
        ] {
            let said = said(old, new);
            assert!(words.iter().all(|word| said.contains(word)), "{new}: {said}");
        }
    }

    #[test]
    fn newer_versions_are_refused_whatever_else_they_contain() {
        for version in ["0.1.1", "0.2.0", "1.0.0-beta.1", "10.0.0"] {
            let said = said(r#""0.1.0", "adapter""#, &format!(r#""{version}", "new": 1, "adapter""#));
            assert!(said.contains(&format!("version {version}")) && said.contains("use that version"), "{said}");
        }
        assert_eq!(said(r#""0.1.0""#, r#""0.0.9""#), "none");
    }
}
