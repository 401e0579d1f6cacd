//! A small GPT-2 agrees with Hugging Face's transformers.

use std::path::Path;

use ketformer::gpt::{GptState, IGNORED, LoadedGpt, TokenBatch};
use ketformer::model::LoadedWeights;
use ketformer::{Gpu, Weights};

/// Tensors of `all` whose names begin with `prefix`, read as weights of GPT-2 with 4 heads.
fn part(all: &Weights, prefix: &str) -> LoadedGpt {
    let own = |(name, tensor): (&String, &_)| Some((name.strip_prefix(prefix)?.to_string(), Clone::clone(tensor)));
    let file = tempfile::NamedTempFile::new().unwrap();
    Weights { tensors: all.tensors.iter().filter_map(own).collect() }.save(file.path()).unwrap();
    LoadedGpt::load(file.path(), Some(4)).unwrap()
}

#[test]
fn logits_loss_and_gradients_of_gpt2_are_those_of_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2_small.safetensors");
    let all = LoadedWeights::load(path).unwrap().weights;
    let (gpt, expected) = (part(&all, "param."), part(&all, "grad.").weights);
    let tokens = |name: &str| all.tensors[name].values.iter().map(|v| if *v < 0.0 { IGNORED } else { *v as u32 });
    let batch = TokenBatch { tokens: tokens("inputs").collect(), targets: tokens("targets").collect() };
    let sequences = batch.tokens.len() / gpt.config.block;
    let state = GptState::new(&Gpu::new().unwrap(), &gpt.config, &gpt.weights, sequences).unwrap();

    let logits = state.logits(&batch.tokens).unwrap();
    let largest = all.tensors["logits"].values.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (found, expected) in logits.iter().zip(&all.tensors["logits"].values) {
        assert!((found - expected).abs() < 2e-5 * largest, "{found} {expected}");
    }
    let (loss, gradient) = state.gradient(&batch).unwrap();
    assert!((loss.mean - f64::from(all.tensors["loss"].values[0])).abs() < 1e-5, "{loss:?}");
    assert_eq!(gradient.tensors.len(), expected.tensors.len());
    for (name, expected) in &expected.tensors {
        let found = &gradient.tensors[name].values;
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let difference = norm(&mut found.iter().zip(&expected.values).map(|(a, b)| a - b));
        let size = norm(&mut expected.values.iter().copied());
        assert!(difference < 1e-4 * size, "{name}: {difference} of {size}");
    }
}
