//! Command line.

use std::path::PathBuf;

use crate::settings::Settings;

/// Usage.
pub const HELP: &str = "Usage: ketformer-live [OPTIONS]

Wave functions that train in a window.

      --record FILE.png      write an animation (APNG) of a run, without a window
      --screenshot FILE.png  write a picture after --steps steps, without a window
      --energies             print the energies of --steps steps, without a window
      --settings JSON        settings in place of the defaults, such as {\"sides\":[2,2]}
      --size WxH             size in points [1280x800]
      --scale S              pixels per point of pictures [1]
      --steps N              training steps [400]
      --seconds S            length of the animation [12]
      --site N               the chosen atom [10]
      --gpt                  the page of the GPT
      --help
";

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Open a window.
    Window,
    /// Print the usage.
    Help,
    /// Write an animation.
    Record(PathBuf),
    /// Write a picture.
    Screenshot(PathBuf),
    /// Print energies.
    Energies,
}

/// The command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments {
    /// What to do.
    pub action: Action,
    /// Settings of the run, if they are not the defaults.
    pub settings: Option<Settings>,
    /// Size in points.
    pub size: [u32; 2],
    /// Pixels per point.
    pub scale: f32,
    /// Training steps.
    pub steps: u64,
    /// Length of an animation in seconds.
    pub seconds: f64,
    /// The chosen atom.
    pub site: usize,
    /// Whether the page of the GPT is shown.
    pub is_gpt: bool,
    /// Whether the window is driven by lines of stdin, as tests do.
    pub is_driven: bool,
}

impl Arguments {
    /// Parses the words behind the name of the program.
    ///
    /// # Errors
    /// A message for unknown options and invalid values.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            action: Action::Window,
            settings: None,
            size: [1280, 800],
            scale: 1.0,
            steps: 400,
            seconds: 12.0,
            site: 10,
            is_gpt: false,
            is_driven: false,
        };
        let mut words = words.peekable();
        while let Some(option) = words.next() {
            match option.as_str() {
                "--help" | "-h" => parsed.action = Action::Help,
                "--energies" => parsed.action = Action::Energies,
                "--gpt" => parsed.is_gpt = true,
                "--drive" => parsed.is_driven = true,
                "--record" => parsed.action = Action::Record(value(&option, words.next())?),
                "--screenshot" => parsed.action = Action::Screenshot(value(&option, words.next())?),
                "--settings" => parsed.settings = Some(Settings::parse(&value::<String>(&option, words.next())?)?),
                "--scale" => {
                    parsed.scale = value(&option, words.next())?;
                    if !(0.25..=4.0).contains(&parsed.scale) {
                        return Err(format!("--scale {}: give a number from 0.25 to 4", parsed.scale));
                    }
                }
                "--steps" => parsed.steps = value(&option, words.next())?,
                "--seconds" => parsed.seconds = value(&option, words.next())?,
                "--site" => parsed.site = value(&option, words.next())?,
                "--size" => {
                    let text: String = value(&option, words.next())?;
                    let sides = text.split_once('x').and_then(|(x, y)| Some([x.parse().ok()?, y.parse().ok()?]));
                    let sides = sides.filter(|sides| sides.iter().all(|side| (64..=4096).contains(side)));
                    parsed.size = sides.ok_or_else(|| format!("--size {text}: give for example 1280x800"))?;
                }
                _ => return Err(format!("unknown option {option}; --help lists all")),
            }
        }
        Ok(parsed)
    }
}

fn value<T: std::str::FromStr>(option: &str, word: Option<String>) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("{option} needs a value; see --help"))?;
    word.parse().map_err(|_| format!("{option} {word} is not valid; see --help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let parse = |line: &str| Arguments::parse(line.split_whitespace().map(String::from));
        let parsed = parse("--screenshot a.png --size 390x844 --steps 20").unwrap();
        assert_eq!((parsed.action, parsed.size, parsed.steps), (Action::Screenshot("a.png".into()), [390, 844], 20));
        assert!(parse("--size 0x10").unwrap_err().contains("1280x800"));
        assert!(parse("--scale 9").unwrap_err().contains("0.25 to 4"));
        assert!(parse("--steps").unwrap_err().contains("needs a value"));
        assert!(parse("--step 3").unwrap_err().contains("--help"));
    }
}
