//! `ketformer gpt sample`: continuations of a prompt.

use std::time::Instant;

use ketformer::Result;
use ketformer::gpt::{Continuation, GptSampler, SamplingSettings};
use ketformer::text::{StreamDecoder, Tokenizer};
use serde_json::json;

use super::subject::{GptSubject, subject};
use crate::cli::arguments::gpt::GptSampleArguments;
use crate::cli::groups::gpt::sample as group;
use crate::cli::groups::train::draw_seed;
use crate::cli::output::number::significant;
use crate::cli::settings::Settings;
use crate::cli::subject::split_runs;
use crate::cli::{Outcome, device, interrupt, output};

/// Number of sampled tokens by default.
const TOKENS: usize = 500;
/// Prompt of byte-pair encoding by default, `<|endoftext|>`.
const END_OF_TEXT: u32 = 50_256;
/// Prompt of characters by default.
const LINE_END: &str = "\n";

/// Samples continuations. A single one is printed as it grows.
///
/// # Errors
/// Errors of settings, prompt, files, weights, adapter and memory.
pub fn run(arguments: &GptSampleArguments) -> Result<Outcome> {
    let (words, runs) = split_runs(&arguments.words);
    let settings = group::GROUP.parse(&words)?;
    let quiet = arguments.gpu.quiet;
    let sampling = sampling(&settings)?;
    let GptSubject { gpt, tokenizer, weights } =
        subject(["gpt sample", "sample"], arguments.weights.as_deref(), &runs, &settings, quiet)?;
    let prompt = Prompt::new(settings.optional_text("prompt"), &tokenizer)?;
    if prompt.tokens.len() > gpt.block {
        let text = format!(
            "the prompt has {} tokens, more than the {} of the block; give a shorter prompt",
            prompt.tokens.len(),
            gpt.block
        );
        return Err(group::GROUP.error(text));
    }
    let new_tokens = match settings.optional_count("tokens") {
        Some(tokens) => tokens as usize,
        None if is_letters(&tokenizer) => prompt.tokens.len(),
        None => TOKENS,
    };
    let samples = settings.size("samples");
    let settings = SamplingSettings { new_tokens, ..sampling };
    interrupt::watch()?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let mut sampler = GptSampler::new(&gpu, &gpt, &weights, samples)?;
    let prompts = vec![prompt.tokens.clone(); samples];
    let begun = Instant::now();
    let mut stream = (samples == 1 && !arguments.json).then(|| Stream::new(&tokenizer, &prompt));
    let made = sampler.sample(&prompts, &settings, |made| {
        if let Some(stream) = &mut stream {
            stream.show(&made[0].tokens);
        }
        !interrupt::requested() && output::is_read()
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    match stream {
        Some(stream) => stream.finish(),
        None => show(&made, &tokenizer, &prompt, arguments.json),
    }
    let tokens: usize = made.iter().map(|made| made.tokens.len()).sum();
    if !quiet {
        let rate = significant(tokens as f64 / seconds, 3);
        output::note(&format!(
            "{tokens} tokens in {} s, {rate} tokens/s, seed {}",
            significant(seconds, 2),
            settings.seed
        ));
    }
    Ok(if interrupt::requested() { Outcome::Interrupted } else { Outcome::Done })
}

/// Settings of the distribution. The number of tokens is that of the default.
fn sampling(settings: &Settings) -> Result<SamplingSettings> {
    let sampling = SamplingSettings {
        new_tokens: TOKENS,
        temperature: settings.real("temperature"),
        top_k: settings.optional_count("top_k").map(|count| count as usize),
        top_p: settings.optional_real("top_p").unwrap_or(1.0),
        greedy: settings.switch("greedy"),
        seed: settings.optional_count("seed").unwrap_or_else(draw_seed),
    };
    sampling.check().map_err(|error| group::GROUP.error(error))?;
    Ok(sampling)
}

/// Whether the tokens are the letters of the sorting task.
fn is_letters(tokenizer: &Tokenizer) -> bool {
    Tokenizer::letters(tokenizer.vocabulary()).is_ok_and(|letters| letters == *tokenizer)
}

/// Prompt of all continuations.
struct Prompt {
    tokens: Vec<u32>,
    /// Its text; empty if it was not given.
    text: String,
}

impl Prompt {
    /// The given text, or the prompt by default.
    fn new(given: Option<&str>, tokenizer: &Tokenizer) -> Result<Self> {
        let fault = |text: String| group::GROUP.error(text);
        let (tokens, text) = match given {
            Some(text) => (tokenizer.encode(text).map_err(|error| fault(format!("prompt: {error}")))?, text),
            None if tokenizer.vocabulary() > END_OF_TEXT as usize => (vec![END_OF_TEXT], ""),
            None => match tokenizer.encode(LINE_END) {
                Ok(tokens) => (tokens, ""),
                Err(_) => return Err(fault("nothing to continue; give a prompt=".into())),
            },
        };
        Ok(Self { tokens, text: text.into() })
    }
}

/// A continuation that is printed as it grows, after its prompt.
struct Stream<'a> {
    decoder: StreamDecoder<'a>,
    /// Number of printed tokens.
    shown: usize,
}

impl<'a> Stream<'a> {
    fn new(tokenizer: &'a Tokenizer, prompt: &Prompt) -> Self {
        output::piece(&prompt.text);
        Self { decoder: StreamDecoder::new(tokenizer), shown: 0 }
    }

    fn show(&mut self, tokens: &[u32]) {
        for token in &tokens[self.shown..] {
            output::piece(self.decoder.push(*token));
        }
        self.shown = tokens.len();
    }

    fn finish(self) {
        output::line(self.decoder.finish());
    }
}

/// Prints all continuations: as JSON objects, or as texts with a line between them.
fn show(made: &[Continuation], tokenizer: &Tokenizer, prompt: &Prompt, is_json: bool) {
    for (number, Continuation { tokens, log_p }) in made.iter().enumerate() {
        let text = tokenizer.decode(tokens);
        if is_json {
            let log_p: f64 = log_p.iter().map(|log_p| f64::from(*log_p)).sum();
            output::line(json!({ "prompt": prompt.text, "text": text, "tokens": tokens.len(), "log_p": log_p }));
        } else {
            if number > 0 {
                output::line("---");
            }
            output::line(format!("{}{text}", prompt.text));
        }
    }
}
