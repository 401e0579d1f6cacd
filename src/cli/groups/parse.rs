//! Check of typed KEY=VALUE words against the table of a group. The message on an unknown key names the groups that
//! have it.

use ketformer::Result;

use crate::cli::groups::all;
use crate::cli::settings::{Group, Key, Settings};
use crate::cli::suggestion::closest;

impl Group {
    /// Checks `words`, each KEY=VALUE, against the table.
    ///
    /// # Errors
    /// `ErrorKind::Settings`, one line with a remedy, for the first word at fault.
    pub fn parse(&'static self, words: &[String]) -> Result<Settings> {
        let mut settings = Settings::defaults(self)?;
        for word in words {
            let Some((name, text)) = word.split_once('=') else {
                return Err(
                    self.error(format!("`{word}` is not KEY=VALUE; `ketformer help {}` lists the keys", self.name))
                );
            };
            let key = self.key(name)?;
            if settings.is_given(key.name) {
                return Err(self.error(format!("{name} is given twice; keep one of them")));
            }
            settings.give(key, name, key.value(text).map_err(|text| self.error(text))?);
        }
        Ok(settings)
    }

    /// Whether it is one of `ketformer gpt`, whose groups are no flags.
    pub fn is_gpt(&self) -> bool {
        self.name.starts_with("gpt")
    }

    fn key(&self, name: &str) -> Result<&'static Key> {
        if let Some(key) = self.keys.iter().find(|key| key.name == name || key.former == Some(name)) {
            return Ok(key);
        }
        let has = |group: &&'static Self| group.keys.iter().any(|key| key.name == name);
        let others = all().filter(|group| group.is_gpt() == self.is_gpt() && has(group));
        let flag =
            |group: &Self| if group.is_gpt() { group.name.replace('-', " ") } else { format!("--{}", group.name) };
        let elsewhere: Vec<String> = others.map(flag).collect();
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::{Extent, KeyKind, Value};

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
        assert_eq!(first.resolved().collect::<Vec<_>>(), second.resolved().collect::<Vec<_>>());
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
