//! What a GPT learns and its sizes.

use std::path::PathBuf;

use ketformer::Result;
use ketformer::gpt::GptConfig;

use super::{GROUP, POSITIONS};
use crate::cli::settings::{Settings, Value};

/// What a GPT learns.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// The next token of a text.
    Text {
        /// The file.
        data: PathBuf,
        /// Whether tokens are those of byte-pair encoding instead of characters.
        bpe: bool,
        /// Fraction that is held out.
        validation: f64,
    },
    /// The letters of a word in order.
    Sort {
        /// Letters of a word.
        length: usize,
        /// Different letters.
        letters: usize,
    },
}

impl Task {
    /// Task of the settings. Writes its defaults back.
    ///
    /// # Errors
    /// `ErrorKind::Settings` unless there is one of `data` and `task`, with keys of its own only.
    pub fn new(settings: &mut Settings) -> Result<Self> {
        let refuse =
            |settings: &Settings, keys: &[&str], other: &str| match keys.iter().find(|key| settings.is_given(key)) {
                Some(key) => Err(GROUP.error(format!("{key} belongs to {other}; give that, or leave {key} out"))),
                None => Ok(()),
            };
        match (settings.optional_text("data").map(PathBuf::from), settings.optional_text("task").is_some()) {
            (Some(_), true) => Err(GROUP.error("data= and task= are both given; keep one of them")),
            (None, false) => Err(GROUP.error("nothing to learn; give a text, such as data=input.txt, or task=sort")),
            (Some(data), false) => {
                refuse(settings, &["length", "letters"], "task=sort")?;
                resolve(settings, "tokenizer", Value::Text("characters".into()));
                resolve(settings, "validation", Value::Real(0.1));
                let bpe = settings.text("tokenizer") == "bpe";
                Ok(Self::Text { data, bpe, validation: settings.real("validation") })
            }
            (None, true) => {
                refuse(settings, &["tokenizer", "validation"], "data=")?;
                resolve(settings, "length", Value::Count(6));
                resolve(settings, "letters", Value::Count(3));
                Ok(Self::Sort { length: settings.size("length"), letters: settings.size("letters") })
            }
        }
    }

    /// Whether it is sorting.
    pub fn is_sort(&self) -> bool {
        matches!(self, Self::Sort { .. })
    }
}

/// Gives a key that was not given its value.
pub fn resolve(settings: &mut Settings, name: &'static str, value: Value) {
    if settings.resolved().all(|(known, _)| known != name) {
        settings.resolve(name, value);
    }
}

/// Sizes for `vocabulary` tokens. They are those of `weights` if given, which the settings must not contradict. Writes
/// them back into the settings.
///
/// # Errors
/// `ErrorKind::Settings` for a contradiction or sizes that a GPT cannot have.
pub fn model(
    settings: &mut Settings,
    task: &Task,
    vocabulary: usize,
    weights: Option<&GptConfig>,
) -> Result<GptConfig> {
    let default = weights.cloned().unwrap_or_else(|| match task {
        Task::Text { .. } => GptConfig { bias: false, ..GptConfig::default() },
        Task::Sort { length, .. } => GptConfig {
            block: 2 * length - 1,
            width: 48,
            heads: 3,
            layers: 3,
            feed_forward: 192,
            tied: false,
            ..GptConfig::default()
        },
    });
    if let Some(weights) = weights.filter(|weights| weights.vocabulary != vocabulary) {
        let text = format!(
            "the weights have {} tokens, and the tokenizer has {vocabulary}; give the data and tokenizer of the weights",
            weights.vocabulary
        );
        return Err(GROUP.error(text));
    }
    let width = settings.optional_count("width").unwrap_or(default.width as u64);
    // The feed-forward width follows the width.
    let feed_forward = if weights.is_some() { default.feed_forward as u64 } else { 4 * width };
    let position = POSITIONS.iter().find(|(_, position)| *position == default.position).map_or("learned", |row| row.0);
    let values = [
        ("layers", Value::Count(default.layers as u64)),
        ("heads", Value::Count(default.heads as u64)),
        ("width", Value::Count(default.width as u64)),
        ("ffn", Value::Count(feed_forward)),
        ("block", Value::Count(default.block as u64)),
        ("position", Value::Text(position.into())),
        ("bias", Value::Switch(default.bias)),
        ("tied", Value::Switch(default.tied)),
    ];
    for (name, value) in values {
        let given = settings.resolved().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        match given {
            None => settings.resolve(name, value),
            Some(given) if given != value && weights.is_some() => {
                return Err(GROUP
                    .error(format!("{name}={given} contradicts the weights, which have {value}; leave {name} out")));
            }
            Some(_) => {}
        }
    }
    if let Task::Sort { length, .. } = task {
        let (block, needed) = (settings.size("block"), 2 * length - 1);
        if block != needed {
            let text =
                format!("length={length} needs block={needed}, not {block}; leave block out, or give another length");
            return Err(GROUP.error(text));
        }
    }
    let config = GptConfig {
        vocabulary,
        block: settings.size("block"),
        width: settings.size("width"),
        heads: settings.size("heads"),
        layers: settings.size("layers"),
        feed_forward: settings.size("ffn"),
        position: settings.choice("position", &POSITIONS),
        bias: settings.switch("bias"),
        tied: settings.switch("tied"),
    };
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Settings {
        GROUP.parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn one_task_with_its_own_keys() {
        let task = |line: &str| Task::new(&mut settings(line)).map_err(|error| error.to_string());
        assert_eq!(task("task=sort").unwrap(), Task::Sort { length: 6, letters: 3 });
        let text = Task::Text { data: "a.txt".into(), bpe: true, validation: 0.1 };
        assert_eq!(task("data=a.txt tokenizer=bpe").unwrap(), text);
        for (line, word) in [
            ("", "task=sort"),
            ("data=a task=sort", "keep one"),
            ("task=sort tokenizer=bpe", "belongs to data="),
            ("data=a length=3", "belongs to task=sort"),
        ] {
            assert!(task(line).unwrap_err().contains(word), "{line}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_task_the_settings_or_the_weights() {
        let of = |line: &str, weights: Option<&GptConfig>| {
            let mut settings = settings(line);
            let task = Task::new(&mut settings).unwrap();
            model(&mut settings, &task, 3, weights).map(|config| (config, settings)).map_err(|error| error.to_string())
        };
        let (text, resolved) = of("data=a width=64", None).unwrap();
        assert_eq!((text.layers, text.width, text.feed_forward, text.bias, text.tied), (4, 64, 256, false, true));
        assert_eq!((resolved.count("ffn"), resolved.text("position")), (256, "learned"));
        let (sort, _) = of("task=sort length=4", None).unwrap();
        assert_eq!((sort.layers, sort.width, sort.block, sort.tied), (3, 48, 7, false));
        let (same, _) = of("task=sort length=4 heads=3", Some(&sort)).unwrap();
        assert_eq!(same, sort);
        assert!(
            of("task=sort length=4 heads=4", Some(&sort))
                .unwrap_err()
                .contains("heads=4 contradicts the weights, which have 3")
        );
        assert!(of("task=sort length=5", Some(&sort)).unwrap_err().contains("block=9, not 7"));
        assert!(of("task=sort block=8", None).unwrap_err().contains("block=11, not 8"));
        let other = GptConfig { vocabulary: 65, ..sort };
        assert!(of("task=sort length=4", Some(&other)).unwrap_err().contains("65 tokens"));
    }
}
