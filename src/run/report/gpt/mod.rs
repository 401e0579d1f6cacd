//! Report of a run of a GPT.

mod prompt;
mod text;
mod training;

pub use prompt::{NextToken, PromptView};

use std::path::Path;

use super::markup::shown;
use super::page::{Number, Section, drawn, header, page};
use super::settings;
use super::summary::in_parts;
use crate::atomic_write;
use crate::error::Result;
use crate::gpt::{GptReport, Loss, RewardReport};
use crate::plot_style::Fault;
use crate::run::{LossSummary, Measurement, RunSettings, WRITER, WeightsOrigin, duration};

/// Contents of the report page of a run of a GPT.
#[derive(Debug, Clone)]
pub struct GptPage {
    /// Description of the run, such as "gpt layers=4, input.txt".
    pub title: String,
    /// Command, adapter, seed, groups and resumptions of the run.
    pub settings: RunSettings,
    /// Step of the weights, and state of the run.
    pub origin: WeightsOrigin,
    /// Rows of `metrics.csv`; may be empty.
    pub steps: Vec<GptReport>,
    /// Loss on all held-out data, if there is any.
    pub loss: Option<Loss>,
    /// Characters per token of the held-out text, if there is any.
    pub characters_per_token: Option<f64>,
    /// Prompt, and its sampled continuation at each temperature.
    pub texts: (String, Vec<(f64, String)>),
    /// What the GPT makes of the prompt.
    pub prompt: PromptView,
}

impl GptPage {
    /// Renders the page.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if a picture cannot be drawn.
    pub fn html(&self) -> Result<String> {
        drawn(&self.title, self.page())
    }

    /// Writes the page atomically.
    ///
    /// # Errors
    /// As [`Self::html`]; [`crate::ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_write::write(path, self.html()?.as_bytes(), WRITER)
    }

    fn page(&self) -> std::result::Result<String, Fault> {
        let sections: [Section; 5] = [
            ("training", "Training", training::section(&self.steps)?),
            ("text", "Text", text::section(self)),
            ("next", "Next token", self.prompt.predictions()),
            ("attention", "Attention", self.prompt.attention()?),
            ("settings", "Settings", settings::section(&self.settings)),
        ];
        let head = header(&self.title, &self.settings, &self.assessed(), self.numbers(), "");
        Ok(page(&self.title, &head, &sections, "null"))
    }

    /// Trend of the reward, or of the loss of held-out data, and what to try next.
    fn assessed(&self) -> String {
        let rewards: Vec<RewardReport> = self.steps.iter().filter_map(|step| step.reward).collect();
        if !rewards.is_empty() {
            return training::assessed_rewards(&rewards);
        }
        let mut summary = LossSummary::default();
        self.steps.iter().for_each(|step| summary.push(step));
        let (Some((training, _)), Some((_, last)), Some((best, lowest))) =
            (summary.loss(), summary.last_validation(), summary.best_validation())
        else {
            return "Held-out data was not evaluated during training.".into();
        };
        if last > 1.02 * lowest {
            return format!(
                "The loss on held-out data was lowest after step {best} and has risen since: the GPT overfits. Use the \
                 weights of best.safetensors, more data, or more dropout."
            );
        }
        if last > 1.3 * training {
            return "The loss on held-out data is far above that of training: more data or dropout would help.".into();
        }
        "The loss on held-out data is at its lowest: the run could be resumed with more steps, or a larger GPT trained."
            .into()
    }

    fn numbers(&self) -> Vec<Number> {
        let mut numbers: Vec<Number> = Vec::new();
        if let Some(loss) = self.loss {
            let measured = in_parts(Measurement { mean: loss.mean, error: loss.error });
            numbers.push(("Loss", measured, format!("nats per token, {} held-out tokens", loss.tokens)));
            numbers.push(("Perplexity", shown(loss.mean.exp(), 3), "exp of the loss".into()));
            if let Some(characters) = self.characters_per_token {
                let bits = loss.mean / std::f64::consts::LN_2 / characters;
                numbers.push(("Bits per character", shown(bits, 3), String::new()));
            }
        }
        if let Some(last) = self.steps.last() {
            let steps = || self.steps.iter().map(|step| step.seconds).filter(|seconds| seconds.is_finite()).sum();
            let seconds: f64 = self.settings.wall_seconds.unwrap_or_else(steps);
            numbers.push(("Steps", last.step.to_string(), format!("in {}", duration(seconds))));
            let tokens: u64 = self.steps.iter().map(|step| step.tokens).sum();
            numbers.push(("Tokens per second", shown(tokens as f64 / seconds, 3), "with evaluations".into()));
        }
        numbers.push(("Parameters", self.settings.parameters.to_string(), String::new()));
        numbers
    }
}
