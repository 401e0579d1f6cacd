//! Fine-tuning of a GPT by reward: its trainer, the displayed rewards and the plot of a run.

use std::collections::BTreeMap;
use std::path::Path;

use ketformer::Result;
use ketformer::gpt::{GptConfig, GptReport, GptTrainConfig, GptTrainer, RewardReport, TuneConfig};
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::{
    DataRecord, LossSummary, Measurement, REWARD_FILE, RewardCurve, RunFolder, RunSettings, START_FILE,
};
use ketformer::text::{RewardDescription, Tokenizer};
use serde_json::{Map, Value, json};

use super::super::files;
use super::super::training::title;
use super::prompts::PromptSource;
use super::reward::TextReward;
use crate::cli::groups::gpt::tune;
use crate::cli::output::loss_display::LossDisplay;
use crate::cli::output::number::significant;
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::Group;
use crate::cli::training::{Results, Training, TrainingRun};
use crate::cli::{interrupt, output, run_settings};

/// Fine-tuning of a GPT by the reward of its continuations.
pub struct TuneTraining {
    /// Sizes and options.
    pub gpt: GptConfig,
    /// Configuration of the trainer.
    pub config: GptTrainConfig,
    /// Weights before tuning.
    pub start: Weights,
    /// Tokenizer.
    pub tokenizer: Tokenizer,
    /// Settings of the group `gpt` of the run that it starts from.
    pub trained: Map<String, Value>,
    /// File of the text that the GPT learned, if it did.
    pub record: Option<DataRecord>,
    /// Prompts.
    pub prompts: PromptSource,
    /// Tokens of a continuation.
    pub new_tokens: usize,
    /// Penalty of the divergence.
    pub beta: f64,
    /// Reward as given and as parsed.
    pub reward: (String, RewardDescription),
}

impl Training for TuneTraining {
    type Report = GptReport;
    type Trainer = GptTrainer;
    type Display = LossDisplay;
    type Summary = LossSummary;
    type Curve = RewardCurve;

    const COMMAND: &'static str = "gpt tune";
    const MAY_CHANGE: &'static [&'static str] =
        &["steps", "lr", "clip", "report", "checkpoint", "max_rejected_steps", "max_device_losses"];
    const PICTURE_FILE: &'static str = REWARD_FILE;
    const REMEDY: &'static str = "a smaller lr=, clip=1 or more samples=";

    fn group() -> &'static Group {
        &tune::GROUP
    }

    fn groups(&self) -> BTreeMap<String, Map<String, Value>> {
        BTreeMap::from([(RunSettings::GPT.to_string(), self.trained.clone())])
    }

    fn load_settings(folder: &Path) -> Result<RunSettings> {
        run_settings::load_gpt_run(folder, true)
    }

    fn seed(&self) -> u64 {
        self.config.seed
    }

    fn trainer(&self, gpu: &Gpu) -> Result<GptTrainer> {
        let tune = TuneConfig {
            new_tokens: self.new_tokens,
            beta: self.beta,
            prompts: Box::new(self.prompts.clone()),
            reward: Box::new(TextReward { tokenizer: self.tokenizer.clone(), reward: self.reward.1.start()? }),
        };
        let mut trainer = GptTrainer::tuning(gpu, &self.gpt, self.config.clone(), &self.start, tune)?;
        trainer.stop_when(interrupt::requested);
        Ok(trainer)
    }

    fn scale(&self) {}

    fn display(&self) -> LossDisplay {
        LossDisplay::default()
    }

    fn add(&self, report: &GptReport, summary: &mut LossSummary, curve: &mut RewardCurve) {
        summary.push(report);
        curve.push(report);
    }

    fn begin(&self, folder: &RunFolder) -> Result<()> {
        files::describe(folder, &self.gpt, &self.tokenizer, self.record.as_ref())?;
        files::exported(&self.gpt, &self.start)?.save(folder.file(START_FILE))
    }

    fn save_weights(&self, weights: &Weights, path: &Path) -> Result<()> {
        files::exported(&self.gpt, weights)?.save(path)
    }

    fn has_result(summary: &LossSummary) -> bool {
        summary.last_reward().is_some()
    }

    /// Prints the mean reward, divergence and entropy of the last step.
    fn show_result(run: &TrainingRun<Self>) -> Result<()> {
        let Some(RewardReport { mean, error, divergence, entropy }) = run.results.summary.last_reward() else {
            return Ok(());
        };
        if run.job.style == OutputStyle::Json {
            let result = json!({ "reward": [mean, error], "divergence": divergence, "entropy": entropy });
            output::line(run.closing_object(result.as_object().cloned().unwrap_or_default()));
            return Ok(());
        }
        let [divergence, entropy] = [divergence, entropy].map(|nats| significant(nats, 2));
        output::line(format!(
            "reward {}  KL {divergence}  entropy {entropy} nats, of the last step",
            Measurement { mean, error }
        ));
        Ok(())
    }

    fn draw(&self, results: &Results<Self>, path: &Path) -> Result<()> {
        results.curve.draw(path, &format!("{}, {}", title(&self.gpt), self.reward.0))
    }

    fn next_commands(word: &str) -> String {
        format!("`ketformer gpt eval {word}` evaluates it, `ketformer gpt sample {word}` continues a text")
    }
}
