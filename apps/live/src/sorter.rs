//! A GPT of the sizes of nano-gpt learns to sort letters, within the frames of the app.

use eframe::egui::{
    self, Align2, Color32, CornerRadius, FontFamily, FontId, Rect, RichText, Sense, Stroke, StrokeKind, Ui, pos2, vec2,
};
use ketformer::Result;
use ketformer::gpt::{GptConfig, GptSampler, GptTrainConfig, GptTrainer, SamplingSettings};
use ketformer::gpu::Gpu;
use ketformer::text::{Sorting, SortingSizes};
use ketformer::vmc::Budget;

use crate::energy_plot::{self, Axes};
use crate::task::{Task, finished};
use crate::theme::{ACCENT, COUNTER, SEMIBOLD, TEXT, WARNING, WEAK, heading};
use crate::widgets::Places;

/// Letters of a word.
const LENGTH: usize = 6;
/// Size of the alphabet.
const LETTERS: usize = 3;
/// Words of a batch.
const BATCH: usize = 64;
/// Held-out words that are sorted after every few steps.
const WORDS: usize = 64;
/// Steps between two of these.
const EVERY: u64 = 50;
/// Words on the page.
const SHOWN: usize = 12;

/// The task with the sizes of `ketformer gpt train task=sort`.
fn task() -> Result<Sorting> {
    Sorting::new(SortingSizes { length: LENGTH, letters: LETTERS, sequences: BATCH, held_out: WORDS as u64 }, 0)
}

/// Sizes of nano-gpt.
fn config() -> GptConfig {
    GptConfig {
        vocabulary: LETTERS,
        block: 2 * LENGTH - 1,
        width: 48,
        heads: 3,
        layers: 3,
        feed_forward: 192,
        tied: false,
        ..GptConfig::default()
    }
}

/// Settings of `ketformer gpt train task=sort`.
fn train_config() -> GptTrainConfig {
    GptTrainConfig { learning_rate: 5e-4, betas: (0.9, 0.95), dropout: 0.1, ..GptTrainConfig::default() }
}

/// The trainer, and what it wrote behind the words.
type Sorted = (GptTrainer, Result<Vec<Vec<u32>>>);

/// Writes the letters behind `words` that are most probable with the present weights.
async fn sort(gpu: Gpu, trainer: GptTrainer, words: Vec<Vec<u32>>) -> Sorted {
    let written = async {
        let weights = trainer.weights_async().await?;
        let mut sampler = GptSampler::new(&gpu, trainer.gpt(), &weights, words.len())?;
        let settings = SamplingSettings { new_tokens: LENGTH, greedy: true, ..SamplingSettings::default() };
        let written = sampler.sample_async(&words, &settings, |_| true).await?;
        Ok(written.into_iter().map(|continuation| continuation.tokens).collect())
    };
    let written = written.await;
    (trainer, written)
}

/// The page.
pub struct Sorter {
    gpu: Gpu,
    trainer: Option<GptTrainer>,
    sorting: Option<Task<Sorted>>,
    /// Held-out words, and what was written behind them after step `written_at`.
    words: Vec<Vec<u32>>,
    written: Vec<Vec<u32>>,
    written_at: u64,
    losses: Vec<f64>,
    is_paused: bool,
}

impl Sorter {
    /// A new GPT on the device of the app.
    ///
    /// # Errors
    /// As [`GptTrainer::new`].
    pub fn new(gpu: &Gpu) -> Result<Self> {
        let task = task()?;
        let words = (0..WORDS as u64).map(|example| task.held_out_input(example)).collect();
        Ok(Self {
            gpu: gpu.clone(),
            trainer: Some(GptTrainer::new(gpu, &config(), train_config(), Box::new(task))?),
            sorting: None,
            words,
            written: Vec::new(),
            written_at: 0,
            losses: Vec::new(),
            is_paused: false,
        })
    }

    /// Number of steps.
    pub fn steps(&self) -> u64 {
        self.losses.len() as u64
    }

    /// Loss of each step.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Command that trains with the same settings.
    pub fn train_command(&self) -> String {
        format!("ketformer gpt train task=sort steps={}", self.steps().max(1))
    }

    /// Number of words that are sorted; `None` before the first attempt.
    fn sorted(&self) -> Option<usize> {
        let is_sorted = |(word, written): &(&Vec<u32>, &Vec<u32>)| Sorting::answer(word) == **written;
        (!self.written.is_empty()).then(|| self.words.iter().zip(&self.written).filter(is_sorted).count())
    }

    /// The part of a frame that paints nothing: training within `milliseconds` of the device, up to
    /// `most_steps` steps. Returns whether there was any.
    ///
    /// # Errors
    /// As [`GptTrainer::advance`].
    pub fn work(&mut self, milliseconds: f64, most_steps: u64) -> Result<bool> {
        if let Some((trainer, written)) = finished(&mut self.sorting) {
            self.trainer = Some(trainer);
            self.written = written?;
            self.written_at = self.steps();
        }
        let Some(trainer) = &mut self.trainer else { return Ok(false) };
        let is_due = self.written.is_empty() || self.losses.len() as u64 >= self.written_at + EVERY;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let budget = Budget::milliseconds(milliseconds);
        let has_trained = !is_due && !self.is_paused && (self.losses.len() as u64) < most_steps;
        match has_trained {
            true => trainer.advance(&mut encoder, budget)?,
            false => trainer.complete(&mut encoder, budget)?,
        };
        self.gpu.queue().submit([encoder.finish()]);
        while let Some(report) = trainer.poll()? {
            if (self.losses.len() as u64) < most_steps {
                self.losses.push(report.loss);
            }
        }
        if is_due && trainer.is_at_rest() {
            let (gpu, words) = (self.gpu.clone(), self.words.clone());
            self.sorting = self.trainer.take().map(|trainer| Task::new(sort(gpu, trainer, words)));
        }
        Ok(has_trained)
    }

    /// The words, and what the network writes behind them.
    pub fn words(&self, ui: &mut Ui) {
        let explanation = "Six letters go in, and the network writes the next six: the same letters in order. It trains on \
                           other words than these.";
        heading(ui, "Held-out words", explanation);
        ui.add_space(4.0);
        let columns = if ui.available_width() > 620.0 { 2 } else { 1 };
        ui.columns(columns, |columns| {
            for (at, word) in self.words.iter().take(SHOWN).enumerate() {
                let ui = &mut columns[at % columns.len()];
                show_word(ui, word, self.written.get(at).map_or(&[], Vec::as_slice));
            }
        });
        ui.add_space(4.0);
        let text = match self.sorted() {
            Some(sorted) => format!("{sorted} of {WORDS} held-out words are sorted after {} steps", self.written_at),
            None => "the first words are being written …".into(),
        };
        ui.label(RichText::new(text).color(TEXT));
    }

    /// Loss, controls and the same run on the command line.
    pub fn training(&mut self, ui: &mut Ui, places: &mut Places) {
        let parameters = config().parameters();
        let explanation = format!(
            "A GPT of the sizes of nano-gpt in the LLM Visualization: 3 layers of 3 heads, width 48, {parameters} parameters, \
             trained here from random weights."
        );
        heading(ui, "Training", &explanation);
        ui.horizontal(|ui| {
            let response = ui.button(if self.is_paused { "train" } else { "pause" });
            places.add("pause sorting", response.rect);
            if response.clicked() {
                self.is_paused = !self.is_paused;
            }
            let loss = self.losses.last().map_or("—".into(), |loss| format!("{loss:.4}"));
            ui.label(RichText::new(format!("step {} · loss {loss} nats per letter", self.steps())).color(WEAK));
        });
        let size = vec2(ui.available_width(), (0.3 * ui.ctx().content_rect().height()).clamp(150.0, 300.0));
        show_losses(ui, &self.losses, size);
        ui.label(RichText::new("the same run on the command line").small().color(WEAK));
        ui.add(egui::Label::new(RichText::new(self.train_command()).monospace().size(11.0).color(TEXT)).wrap());
    }

    /// Results, for a test.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "step": self.steps(), "loss": self.losses.last(), "first": &self.losses[..self.losses.len().min(20)], "sorted": self.sorted(), "words": WORDS })
    }
}

/// Loss of each step, beside that of letters drawn by chance.
fn show_losses(ui: &mut Ui, losses: &[f64], size: egui::Vec2) {
    let chance = (LETTERS as f64).ln();
    let last = losses.len().max(50) as f64;
    let (painter, axes) = Axes::allocate(ui, size, [0.0, last], [0.0, 1.15 * chance]);
    energy_plot::grid(&painter, &axes);
    let line = [axes.at(0.0, chance), axes.at(last, chance)];
    painter.extend(egui::Shape::dashed_line(&line, Stroke::new(1.6, COUNTER), 6.0, 4.0));
    let font = FontId::proportional(11.0);
    let at = line[1] - vec2(2.0, 3.0);
    painter.text(at, Align2::RIGHT_BOTTOM, "letters drawn by chance: ln 3", font, COUNTER);
    let every = (losses.len() / (2 * size.x as usize).max(1)).max(1);
    let points = losses.iter().enumerate().step_by(every).map(|(step, loss)| axes.at((step + 1) as f64, *loss));
    painter.line(points.collect(), Stroke::new(2.0, ACCENT));
}

/// Side of a tile.
const TILE: f32 = 22.0;

/// A word, an arrow, and the letters behind it. Letters at a wrong place have a frame.
fn show_word(ui: &mut Ui, word: &[u32], written: &[u32]) {
    let step = TILE + 3.0;
    let width = step * (2 * LENGTH) as f32 + 30.0;
    let (rect, _) = ui.allocate_exact_size(vec2(width, TILE + 4.0), Sense::hover());
    let painter = ui.painter_at(rect);
    let at = |column: usize, shift: f32| {
        let corner = pos2(rect.left() + step * column as f32 + shift, rect.top() + 2.0);
        Rect::from_min_size(corner, vec2(TILE, TILE))
    };
    word.iter().enumerate().for_each(|(column, letter)| tile(&painter, at(column, 0.0), *letter, false));
    let arrow = pos2(rect.left() + step * LENGTH as f32 + 12.0, rect.center().y);
    painter.text(arrow, Align2::CENTER_CENTER, "→", FontId::proportional(14.0), WEAK);
    let answer = Sorting::answer(word);
    for (column, letter) in written.iter().enumerate() {
        tile(&painter, at(LENGTH + column, 27.0), *letter, answer.get(column) != Some(letter));
    }
}

fn tile(painter: &egui::Painter, rect: Rect, letter: u32, is_wrong: bool) {
    let color = [COUNTER, Color32::from_rgb(170, 160, 190), ACCENT][letter as usize % LETTERS];
    painter.rect_filled(rect, CornerRadius::same(5), color.gamma_multiply(0.28));
    if is_wrong {
        painter.rect_stroke(rect, CornerRadius::same(5), Stroke::new(1.5, WARNING), StrokeKind::Inside);
    }
    let name = char::from(b'A' + letter as u8);
    painter.text(
        rect.center(),
        Align2::CENTER_CENTER,
        name,
        FontId::new(13.0, FontFamily::Name(SEMIBOLD.into())),
        TEXT,
    );
}
