//! Rewards of sampled texts, for fine-tuning.

mod program;

pub use program::ProgramReward;

use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Sampled continuation of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledText {
    /// The prompt.
    pub prompt: String,
    /// The continuation.
    pub text: String,
}

/// Reward of texts.
pub trait Reward: Send {
    /// Returns the reward of each text, which is finite.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if a program does not answer with a finite number for each text.
    fn rewards(&mut self, texts: &[SampledText]) -> Result<Vec<f64>>;
}

/// Built-in reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuiltInReward {
    /// 1 if the letters of the text are those of the prompt in order, otherwise 0.
    Sorted,
    /// Number of times that the text contains a pattern, without overlaps.
    Count(String),
    /// Number of characters of the first line.
    Length,
}

impl BuiltInReward {
    fn of(&self, SampledText { prompt, text }: &SampledText) -> f64 {
        match self {
            Self::Sorted => {
                let mut letters: Vec<char> = prompt.chars().collect();
                letters.sort_unstable();
                f64::from(u8::from(text.chars().eq(letters)))
            }
            Self::Count(pattern) => text.matches(pattern.as_str()).count() as f64,
            Self::Length => text.lines().next().map_or(0, |line| line.chars().count()) as f64,
        }
    }
}

impl Reward for BuiltInReward {
    fn rewards(&mut self, texts: &[SampledText]) -> Result<Vec<f64>> {
        Ok(texts.iter().map(|text| self.of(text)).collect())
    }
}

/// Description of a reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewardDescription {
    /// `sorted`, `count:PATTERN` or `length`.
    BuiltIn(BuiltInReward),
    /// `command:PROGRAM`, a line of the shell.
    Command(String),
}

impl RewardDescription {
    /// Starts the reward.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the program cannot be started.
    pub fn start(&self) -> Result<Box<dyn Reward>> {
        match self {
            Self::BuiltIn(reward) => Ok(Box::new(reward.clone())),
            Self::Command(program) => Ok(Box::new(ProgramReward::new(program)?)),
        }
    }
}

impl FromStr for RewardDescription {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Settings`] unless it is `sorted`, `count:PATTERN`, `length` or `command:PROGRAM`.
    fn from_str(text: &str) -> Result<Self> {
        let error = |what: &str| {
            let text = format!("reward {text} {what}; give sorted, count:PATTERN, length or command:PROGRAM");
            Err(Error::new(ErrorKind::Settings, text))
        };
        match text.split_once(':') {
            None if text == "sorted" => Ok(Self::BuiltIn(BuiltInReward::Sorted)),
            None if text == "length" => Ok(Self::BuiltIn(BuiltInReward::Length)),
            None if ["count", "command"].contains(&text) => error("has nothing after it"),
            Some(("count" | "command", "")) => error("has nothing after the colon"),
            Some(("count", pattern)) => Ok(Self::BuiltIn(BuiltInReward::Count(pattern.into()))),
            Some(("command", program)) => Ok(Self::Command(program.into())),
            _ => error("is unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_rewards() {
        let of = |description: &str, prompt: &str, text: &str| {
            let text = SampledText { prompt: prompt.into(), text: text.into() };
            description.parse::<RewardDescription>().unwrap().start().unwrap().rewards(&[text]).unwrap()[0]
        };
        assert_eq!(
            [of("sorted", "CBA", "ABC"), of("sorted", "CBA", "AAA"), of("sorted", "CBA", "AB")],
            [1.0, 0.0, 0.0]
        );
        assert_eq!(
            [of("count:aa", "", "aaaba"), of("count:a:b", "", "a:ba:b"), of("count:x", "x", "")],
            [1.0, 2.0, 0.0]
        );
        assert_eq!([of("length", "", "Ψab\nc"), of("length", "", "")], [3.0, 0.0]);
    }

    #[test]
    fn other_rewards_are_refused() {
        for (description, what) in
            [("sort", "unknown"), ("count:", "colon"), ("command:", "colon"), ("cuont:a", "unknown")]
        {
            let said = description.parse::<RewardDescription>().unwrap_err().to_string();
            assert!(said.contains(what) && said.contains("count:PATTERN"), "{said}");
        }
    }
}
