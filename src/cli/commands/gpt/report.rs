//! `ketformer report` of a run of a GPT.

use std::path::Path;

use ketformer::Result;
use ketformer::gpt::{GptSampler, GptState, GptTrainer, SamplingSettings};
use ketformer::gpu::Gpu;
use ketformer::run::{DATA_FILE, DataRecord, GptPage, NextToken, PromptView, REPORT_FILE, is_stream};
use ketformer::text::{StreamDecoder, Tokenizer};

use super::data::{Data, Source};
use super::subject::GptRun;
use super::training::title;
use crate::cli::arguments::ReportArguments;
use crate::cli::groups::gpt::{self, report as group};
use crate::cli::groups::train::draw_seed;
use crate::cli::output::steps::recorded_steps;
use crate::cli::{Outcome, device, output};

/// Temperatures of the texts and of the next token.
const TEMPERATURES: [f64; 4] = [0.5, 0.8, 1.0, 1.3];
/// Maximum number of tokens of the prompt by default.
const PROMPT_TOKENS: usize = 32;
/// Number of most probable next tokens.
const NEXT_TOKENS: usize = 10;

/// Evaluates and samples the GPT, looks into its prompt, and writes the report.
///
/// # Errors
/// Errors of settings, files, weights, adapter and memory.
pub fn run(arguments: &ReportArguments, folder: &Path, words: &[String]) -> Result<Outcome> {
    let options = group::GROUP.parse(words)?;
    let best = options.text("weights") == "best";
    let mut run = GptRun::load(folder, best)?;
    let say = |text: &str| (!arguments.gpu.quiet).then(|| output::note(&text));
    if !best && !run.origin.is_final() {
        say(&format!("the numbers are of {}", run.origin.described()));
    }
    let steps = recorded_steps(folder);
    let (config, batch) = gpt::config(&mut run.settings, &run.task, run.gpt.width, arguments.gpu.memory)?;
    let data = match data(&run, folder, batch, config.seed) {
        Ok(data) => Some(data),
        Err(error) => {
            output::warning(&format!("{error}; the page is made without the loss of held-out data"));
            None
        }
    };
    let prompt = prompt(options.optional_text("prompt"), &run, data.as_ref())?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let batches = data.as_ref().map(Data::batches).filter(|batches| batches.validation_batches() > 0);
    let evaluate = |batches| {
        say("evaluating held-out data");
        let mut trainer = GptTrainer::new(&gpu, &run.gpt, config.clone(), batches)?;
        trainer.set_weights(&run.weights)?;
        trainer.evaluate(0)
    };
    let loss = batches.map(evaluate).transpose()?;
    say("sampling texts");
    let seed = options.optional_count("seed").unwrap_or_else(draw_seed);
    let settings = SamplingSettings { new_tokens: options.size("tokens"), seed, ..SamplingSettings::default() };
    let texts = texts(&gpu, &run, &prompt, settings)?;
    say("computing attention");
    let page = GptPage {
        title: format!("{}, {}", title(&run.gpt), data.as_ref().map_or("unknown data".into(), Data::title)),
        steps,
        loss,
        characters_per_token: data.as_ref().and_then(|data| data.characters_per_token(&run.tokenizer)),
        texts: (run.tokenizer.decode(&prompt), texts),
        prompt: view(&gpu, &run, &prompt)?,
        settings: run.record,
        origin: run.origin,
    };
    let path = arguments.out.clone().unwrap_or_else(|| folder.join(REPORT_FILE));
    page.save(&path)?;
    if is_stream(&path) {
        return Ok(Outcome::Done);
    }
    output::line(path.display());
    say("it opens in any browser, without network access");
    Ok(Outcome::Done)
}

/// Data of the run.
fn data(run: &GptRun, folder: &Path, batch: usize, seed: u64) -> Result<Data> {
    let record = (!run.task.is_sort()).then(|| DataRecord::load(&folder.join(DATA_FILE))).transpose()?;
    Source::load(&run.task, record.as_ref())?.data(&run.tokenizer, batch, run.gpt.block, seed)
}

/// Tokens of the given prompt, or the first held-out ones.
fn prompt(given: Option<&str>, run: &GptRun, data: Option<&Data>) -> Result<Vec<u32>> {
    let most = run.gpt.block;
    let tokens = match (given, data) {
        (Some(text), _) => {
            run.tokenizer.encode(text).map_err(|error| group::GROUP.error(format!("prompt: {error}")))?
        }
        (None, Some(Data::Sort(sorting))) => sorting.held_out_input(0),
        (None, Some(Data::Text { corpus, .. })) => {
            let tokens = match corpus.held_out_tokens() {
                [] => corpus.training_tokens(),
                tokens => tokens,
            };
            tokens[..tokens.len().min(PROMPT_TOKENS).min(most)].to_vec()
        }
        (None, None) => vec![0],
    };
    if tokens.len() > most {
        let text =
            format!("the prompt has {} tokens, more than the {most} of the block; give a shorter prompt", tokens.len());
        return Err(group::GROUP.error(text));
    }
    Ok(tokens)
}

/// Continuation at each temperature.
fn texts(gpu: &Gpu, run: &GptRun, prompt: &[u32], settings: SamplingSettings) -> Result<Vec<(f64, String)>> {
    let mut sampler = GptSampler::new(gpu, &run.gpt, &run.weights, 1)?;
    let prompts = [prompt.to_vec()];
    let mut text = |temperature| {
        let made = sampler.sample(&prompts, &SamplingSettings { temperature, ..settings }, |_| true)?;
        Ok((temperature, run.tokenizer.decode(&made[0].tokens)))
    };
    TEMPERATURES.into_iter().map(&mut text).collect()
}

/// Probabilities and attention of the prompt.
fn view(gpu: &Gpu, run: &GptRun, prompt: &[u32]) -> Result<PromptView> {
    let (block, vocabulary, count) = (run.gpt.block, run.gpt.vocabulary, prompt.len());
    // Positions after the prompt change nothing before them.
    let window: Vec<u32> = prompt.iter().copied().chain(std::iter::repeat(0)).take(block).collect();
    let state = GptState::new(gpu, &run.gpt, &run.weights, 1)?;
    let logits = state.logits(&window)?;
    let at = |position: usize, temperature: f64| softmax(&logits[position * vocabulary..][..vocabulary], temperature);
    let probability = |position: usize| Some(at(position.checked_sub(1)?, 1.0)[prompt[position] as usize]);
    let next = TEMPERATURES.map(|temperature| at(count - 1, temperature));
    let mut order: Vec<usize> = (0..vocabulary).collect();
    order.sort_by(|a, b| next[0][*b].total_cmp(&next[0][*a]));
    let token = |token: &usize| NextToken {
        text: run.tokenizer.decode(&[*token as u32]),
        probabilities: next.iter().map(|all| all[*token]).collect(),
    };
    let heads = |layer: Vec<f32>| -> Vec<Vec<f64>> {
        let head = |values: &[f32]| -> Vec<f64> {
            (0..count).flat_map(|row| values[row * block..][..count].iter().map(|value| f64::from(*value))).collect()
        };
        layer.chunks(block * block).map(head).collect()
    };
    Ok(PromptView {
        tokens: pieces(&run.tokenizer, prompt),
        probabilities: (0..count).map(probability).collect(),
        temperatures: TEMPERATURES.to_vec(),
        next: order.iter().take(NEXT_TOKENS).map(token).collect(),
        attention: state.attention(&window)?.into_iter().map(heads).collect(),
    })
}

/// Text that each token completes.
fn pieces(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<String> {
    let mut decoder = StreamDecoder::new(tokenizer);
    tokens.iter().map(|token| decoder.push(*token)).collect()
}

/// Softmax of logits divided by a temperature.
fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (f64::from(logit - greatest) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn a_low_temperature_favors_the_most_probable_token() {
        let [cold, warm] = [0.5, 1.0].map(|temperature| softmax(&[1.0, 2.0, -1e30], temperature));
        assert!((warm.iter().sum::<f64>() - 1.0).abs() < 1e-12 && warm[2] == 0.0);
        assert!((warm[1] / warm[0] - 1f64.exp()).abs() < 1e-12 && (cold[1] / cold[0] - 2f64.exp()).abs() < 1e-12);
    }
}
