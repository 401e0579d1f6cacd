//! Training of a GPT: its data, the displayed losses and the plot of a run.

use std::collections::BTreeMap;
use std::path::Path;

use ketformer::Result;
use ketformer::gpt::{GptConfig, GptReport, GptTrainConfig, GptTrainer};
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::{BEST_FILE, Ending, LOSS_FILE, LossCurve, LossSummary, RunFolder, RunSettings};
use ketformer::text::Tokenizer;
use serde_json::{Map, Value, json};

use super::data::Data;
use super::files;
use crate::cli::groups::gpt;
use crate::cli::output::loss_display::{LossDisplay, loss_line};
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::Group;
use crate::cli::training::{Results, Training, TrainingRun};
use crate::cli::{interrupt, output, run_settings};

/// Training of a GPT to predict the next token.
pub struct GptTraining {
    /// Sizes and options.
    pub gpt: GptConfig,
    /// Configuration of the trainer.
    pub config: GptTrainConfig,
    /// Batches.
    pub data: Data,
    /// Tokenizer of the data.
    pub tokenizer: Tokenizer,
}

impl Training for GptTraining {
    type Report = GptReport;
    type Trainer = GptTrainer;
    type Display = LossDisplay;
    type Summary = LossSummary;
    type Curve = LossCurve;

    const COMMAND: &'static str = "gpt train";
    const MAY_CHANGE: &'static [&'static str] = &[
        "steps",
        "lr",
        "min_lr",
        "clip",
        "eval_batches",
        "report",
        "checkpoint",
        "max_rejected_steps",
        "max_device_losses",
    ];
    const PICTURE_FILE: &'static str = LOSS_FILE;
    const REMEDY: &'static str = "a smaller lr=, clip=1 or larger batches (batch=)";

    fn group() -> &'static Group {
        &gpt::GROUP
    }

    fn groups(&self) -> BTreeMap<String, Map<String, Value>> {
        BTreeMap::new()
    }

    fn load_settings(folder: &Path) -> Result<RunSettings> {
        run_settings::load_gpt_run(folder, false)
    }

    fn seed(&self) -> u64 {
        self.config.seed
    }

    fn trainer(&self, gpu: &Gpu) -> Result<GptTrainer> {
        let mut trainer = GptTrainer::new(gpu, &self.gpt, self.config.clone(), self.data.batches())?;
        trainer.stop_when(interrupt::requested);
        Ok(trainer)
    }

    fn scale(&self) {}

    fn display(&self) -> LossDisplay {
        LossDisplay::default()
    }

    fn add(&self, report: &GptReport, summary: &mut LossSummary, curve: &mut LossCurve) {
        summary.push(report);
        curve.push(report);
    }

    fn pause_interval(&self) -> Option<u64> {
        Some(self.config.eval_interval)
    }

    /// Writes the weights if the last step has the lowest loss of held-out data.
    fn pause(run: &TrainingRun<Self>, folder: &RunFolder) -> Result<()> {
        match run.results.summary.best_validation() {
            Some((step, _)) if step == run.done => {
                files::exported(&run.job.training.gpt, &run.trainer.weights()?)?.save(folder.file(BEST_FILE))
            }
            _ => Ok(()),
        }
    }

    fn begin(&self, folder: &RunFolder) -> Result<()> {
        files::describe(folder, &self.gpt, &self.tokenizer, self.data.record())
    }

    fn save_weights(&self, weights: &Weights, path: &Path) -> Result<()> {
        files::exported(&self.gpt, weights)?.save(path)
    }

    fn has_result(summary: &LossSummary) -> bool {
        summary.loss().is_some()
    }

    /// Prints the mean loss of the last steps and that of held-out data.
    fn show_result(run: &TrainingRun<Self>) -> Result<()> {
        let summary = &run.results.summary;
        let Some((loss, steps)) = summary.loss() else { return Ok(()) };
        let has_held_out = run.job.training.data.batches().validation_batches() > 0;
        let is_completed = run.ending == Some(Ending::Completed);
        let batches = closing_batches(run);
        let validation = (has_held_out && is_completed).then(|| run.trainer.evaluate(batches)).transpose()?;
        let best = summary.best_validation();
        if run.job.style == OutputStyle::Json {
            let result = json!({
                "loss": loss,
                "validation_loss": validation.map(|found| [found.mean, found.error]),
                "perplexity": validation.map(|found| found.mean.exp()),
                "validation_tokens": validation.map(|found| found.tokens),
                "best": best.map(|(step, loss)| json!({ "step": step, "validation_loss": loss })),
            });
            output::line(run.closing_object(result.as_object().cloned().unwrap_or_default()));
            return Ok(());
        }
        output::line(format!("loss {loss:.4}, the mean of the last {steps} steps"));
        if let Some(found) = validation {
            let note = match batches {
                0 => String::new(),
                _ => format!(" of {} tokens; `ketformer gpt eval` takes all", found.tokens),
            };
            output::line(format!("validation {}{note}", loss_line(&found)));
        }
        if let Some((step, loss)) = best {
            output::line(format!("best validation {loss:.4} after step {step}, in {BEST_FILE}"));
        }
        Ok(())
    }

    fn draw(&self, results: &Results<Self>, path: &Path) -> Result<()> {
        results.curve.draw(path, &format!("{}, {}", title(&self.gpt), self.data.title()))
    }

    fn next_commands(word: &str) -> String {
        format!("`ketformer gpt sample {word}` continues a text, `ketformer report {word}` draws it")
    }
}

/// Batches of the evaluation after the last step: 0 for all held-out data, unless that is more than the run trained on.
fn closing_batches(run: &TrainingRun<GptTraining>) -> u64 {
    let GptTraining { data, config, .. } = &run.job.training;
    let trained = run.done * config.accumulate;
    if data.batches().validation_batches() <= trained { 0 } else { config.eval_batches }
}

/// Sizes for the title of a plot.
pub fn title(gpt: &GptConfig) -> String {
    let GptConfig { layers, heads, width, block, .. } = gpt;
    format!("gpt layers={layers} heads={heads} width={width} block={block}")
}
