//! Passes agree with each other and with a reference in f64.

use ketformer::gpt::{GptSampler, GptState, IGNORED, SamplingSettings, TokenBatch};

use super::{configs, gpu, tokens, weights};

/// log softmax of `logits` in f64.
fn log_p(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
    logits.iter().map(|l| f64::from(l - largest) - sum.ln()).collect()
}

#[test]
fn losses_are_those_of_the_logits() {
    let gpu = gpu();
    for config in configs() {
        let (weights, rows) = (weights(&config), 3 * config.block);
        let state = GptState::new(&gpu, &config, &weights, 3).unwrap();
        let inputs = tokens(&config, rows, 1);
        let mut targets = tokens(&config, rows, 2);
        targets[rows / 2] = IGNORED;
        let logits = state.logits(&inputs).unwrap();
        let losses = state.losses(&TokenBatch { tokens: inputs, targets: targets.clone() }).unwrap();
        for (row, target) in targets.iter().enumerate() {
            let expected = match *target {
                IGNORED => 0.0,
                target => -log_p(&logits[row * config.vocabulary..][..config.vocabulary])[target as usize],
            };
            assert!((f64::from(losses[row]) - expected).abs() < 1e-5, "{config:?} {row}: {} {expected}", losses[row]);
        }
    }
}

#[test]
fn later_tokens_do_not_change_earlier_logits() {
    let gpu = gpu();
    for config in configs() {
        let state = GptState::new(&gpu, &config, &weights(&config), 1).unwrap();
        let first = tokens(&config, config.block, 3);
        let before = state.logits(&first).unwrap();
        let mut second = first.clone();
        let changed = config.block / 2;
        second[changed] = (second[changed] + 1) % config.vocabulary as u32;
        let after = state.logits(&second).unwrap();
        let (earlier, later) = before.split_at(changed * config.vocabulary);
        assert_eq!(earlier, &after[..earlier.len()]);
        assert_ne!(later, &after[earlier.len()..]);
    }
}

#[test]
fn cached_decoding_equals_the_full_pass() {
    let gpu = gpu();
    for config in configs().into_iter().filter(|config| config.block > 1) {
        let weights = weights(&config);
        let prompts: Vec<Vec<u32>> = (0..5).map(|s| tokens(&config, 1 + s as usize % 3, 20 + s)).collect();
        let mut sampler = GptSampler::new(&gpu, &config, &weights, prompts.len()).unwrap();
        let settings = SamplingSettings { new_tokens: config.block - 3, ..SamplingSettings::default() };
        let continuations = sampler.sample(&prompts, &settings, |_| true).unwrap();
        let state = GptState::new(&gpu, &config, &weights, 1).unwrap();
        for (prompt, continuation) in prompts.iter().zip(&continuations) {
            let mut text = [prompt.clone(), continuation.tokens.clone()].concat();
            assert_eq!(continuation.tokens.len(), settings.new_tokens);
            let length = text.len();
            text.resize(config.block, 0);
            let logits = state.logits(&text).unwrap();
            for at in prompt.len()..length {
                let expected = log_p(&logits[(at - 1) * config.vocabulary..][..config.vocabulary])[text[at] as usize];
                let found = f64::from(continuation.log_p[at - prompt.len()]);
                assert!((found - expected).abs() < 1e-5, "{config:?} {at}: {found} {expected}");
            }
        }
    }
}

#[test]
fn a_text_does_not_depend_on_the_batch() {
    let gpu = gpu();
    let config = &configs()[0];
    let weights = weights(config);
    let settings = SamplingSettings { new_tokens: 30, seed: 4, ..SamplingSettings::default() };
    let sample = |prompts: &[Vec<u32>]| {
        GptSampler::new(&gpu, config, &weights, prompts.len()).unwrap().sample(prompts, &settings, |_| true).unwrap()
    };
    let prompts: Vec<Vec<u32>> = (0..9).map(|s| tokens(config, 2, 30 + s)).collect();
    let many = sample(&prompts);
    assert_eq!(sample(&prompts[..1])[0].tokens, many[0].tokens);
    assert_eq!(sample(&prompts[..4])[3].tokens, many[3].tokens);
    assert!(many.iter().all(|text| text.tokens.len() == 30));
    assert_ne!(many[0].tokens, many[1].tokens);
}

#[test]
fn greedy_sampling_takes_the_most_probable_token_and_stops_when_told() {
    let gpu = gpu();
    let config = &configs()[1];
    let weights = weights(config);
    let state = GptState::new(&gpu, config, &weights, 1).unwrap();
    let mut sampler = GptSampler::new(&gpu, config, &weights, 1).unwrap();
    let settings = SamplingSettings { new_tokens: 100, greedy: true, ..SamplingSettings::default() };
    let prompt = tokens(config, 3, 8);
    let text =
        sampler.sample(std::slice::from_ref(&prompt), &settings, |texts| texts[0].tokens.len() < 4).unwrap().remove(0);
    assert_eq!(text.tokens.len(), 4);
    let mut whole = [prompt.clone(), text.tokens.clone()].concat();
    whole.resize(config.block, 0);
    let logits = state.logits(&whole).unwrap();
    for at in 0..4 {
        let row = &logits[(prompt.len() + at - 1) * config.vocabulary..][..config.vocabulary];
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert_eq!(text.tokens[at], best as u32);
    }
}
