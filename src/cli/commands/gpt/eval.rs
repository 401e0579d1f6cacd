//! `ketformer gpt eval`: loss of a trained GPT on held-out data, and the sorted words of the sorting task.

use std::path::Path;
use std::sync::Arc;

use ketformer::Result;
use ketformer::gpt::{GptSampler, GptTrainer, SamplingSettings};
use ketformer::gpu::Gpu;
use ketformer::run::{DATA_FILE, DataRecord};
use ketformer::text::{Corpus, Sorting, Windows, read_text};
use serde_json::json;

use super::data::{Data, Source};
use super::subject::{GptRun, the_run};
use crate::cli::arguments::gpt::GptEvalArguments;
use crate::cli::groups::gpt::{self, eval as group};
use crate::cli::output::loss_display::loss_line;
use crate::cli::subject::split_runs;
use crate::cli::{Outcome, device, output};

/// Words that are sorted at once.
const SORTED_AT_ONCE: usize = 512;

/// Prints loss, perplexity and, for a text, bits per character.
///
/// # Errors
/// Errors of settings, files, weights, adapter and memory.
pub fn run(arguments: &GptEvalArguments) -> Result<Outcome> {
    let (words, runs) = split_runs(&arguments.words);
    let settings = group::GROUP.parse(&words)?;
    let folder = the_run(["gpt eval", "evaluate"], &runs)?;
    let best = settings.text("weights") == "best";
    let mut run = GptRun::load(folder, best)?;
    if !arguments.gpu.quiet && !best && !run.origin.is_final() {
        output::note(&format!("{}: {}", folder.display(), run.origin.described()));
    }
    let (config, batch) = gpt::config(&mut run.settings, &run.task, run.gpt.width, arguments.gpu.memory)?;
    let data = match settings.optional_text("data") {
        Some(_) if run.task.is_sort() => return Err(group::GROUP.error("the run sorts letters; leave data= out")),
        Some(path) => {
            let text = read_text(path)?;
            let corpus = Arc::new(Corpus::held_out(&text, &run.tokenizer)?);
            let windows = Windows::new(Arc::clone(&corpus), batch, run.gpt.block, config.seed)?;
            Data::Text { windows, corpus, record: DataRecord::of(Path::new(path), text.as_bytes()) }
        }
        None => {
            let record = (!run.task.is_sort()).then(|| DataRecord::load(&folder.join(DATA_FILE))).transpose()?;
            let source = Source::load(&run.task, record.as_ref())?;
            source.data(&run.tokenizer, batch, run.gpt.block, config.seed)?
        }
    };
    let gpu = device::open(&arguments.gpu.adapter)?;
    let mut trainer = GptTrainer::new(&gpu, &run.gpt, config, data.batches())?;
    trainer.set_weights(&run.weights)?;
    let loss = trainer.evaluate(settings.count("batches"))?;
    let characters = data.characters_per_token(&run.tokenizer);
    let bits = characters.map(|characters| loss.mean / characters / std::f64::consts::LN_2);
    let sorted = match &data {
        Data::Sort(sorting) => Some(sorted(&gpu, &run, sorting, settings.count("samples"))?),
        Data::Text { .. } => None,
    };
    if arguments.json {
        output::line(json!({
            "loss": [loss.mean, loss.error],
            "perplexity": loss.mean.exp(),
            "tokens": loss.tokens,
            "bits_per_character": bits,
            "sorted": sorted.map(|[right, all]| json!({ "words": all, "right": right })),
        }));
        return Ok(Outcome::Done);
    }
    let bits = bits.map_or(String::new(), |bits| format!("  {bits:.4} bits/character"));
    output::line(format!("validation {}{bits}  of {} tokens", loss_line(&loss), loss.tokens));
    if let Some([right, all]) = sorted {
        output::line(format!("sorted {right} of {all} held-out words, {:.2} %", 100.0 * right as f64 / all as f64));
    }
    Ok(Outcome::Done)
}

/// Sorts held-out words. Returns how many of how many are right.
fn sorted(gpu: &Gpu, run: &GptRun, sorting: &Sorting, words: u64) -> Result<[u64; 2]> {
    let at_once = SORTED_AT_ONCE.min(words as usize);
    let mut sampler = GptSampler::new(gpu, &run.gpt, &run.weights, at_once)?;
    let new_tokens = sorting.sizes().length;
    let settings = SamplingSettings { new_tokens, greedy: true, ..SamplingSettings::default() };
    let mut right = 0;
    for first in (0..words).step_by(at_once) {
        // The last words are filled up with further ones, which do not count.
        let inputs: Vec<Vec<u32>> = (first..first + at_once as u64).map(|word| sorting.held_out_input(word)).collect();
        let made = sampler.sample(&inputs, &settings, |_| true)?;
        let counted = made.iter().zip(&inputs).take((words - first) as usize);
        right += counted.filter(|(made, input)| made.tokens == Sorting::answer(input)).count() as u64;
    }
    Ok([right, words])
}
