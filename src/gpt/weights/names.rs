//! Names and shapes of the parameters of a GPT.

use crate::gpt::{GptConfig, TokenPositions};

/// Name and shape of each parameter under nanoGPT's names without `transformer.`: matrices first, (outputs, inputs) as
/// in `nn.Linear`, then vectors.
pub(super) fn parameter_shapes(config: &GptConfig) -> Vec<(String, Vec<usize>)> {
    let GptConfig { vocabulary, block, width, feed_forward, .. } = *config;
    let mut matrices = vec![("wte.weight".to_string(), vec![vocabulary, width])];
    if config.position == TokenPositions::Learned {
        matrices.push(("wpe.weight".into(), vec![block, width]));
    }
    let mut vectors = Vec::new();
    let mut norm = |name: String| {
        vectors.push((format!("{name}.weight"), vec![width]));
        if config.bias {
            vectors.push((format!("{name}.bias"), vec![width]));
        }
    };
    let mut biases = Vec::new();
    let mut linear = |name: String, outputs: usize, inputs: usize| {
        matrices.push((format!("{name}.weight"), vec![outputs, inputs]));
        if config.bias {
            biases.push((format!("{name}.bias"), vec![outputs]));
        }
    };
    for layer in 0..config.layers {
        norm(format!("h.{layer}.ln_1"));
        linear(format!("h.{layer}.attn.c_attn"), 3 * width, width);
        linear(format!("h.{layer}.attn.c_proj"), width, width);
        norm(format!("h.{layer}.ln_2"));
        linear(format!("h.{layer}.mlp.c_fc"), feed_forward, width);
        linear(format!("h.{layer}.mlp.c_proj"), width, feed_forward);
    }
    norm("ln_f".into());
    if !config.tied {
        matrices.push(("lm_head.weight".into(), vec![vocabulary, width]));
    }
    [matrices, vectors, biases].concat()
}

/// Whether `name` is the weight of a linear layer in a block, which GPT-2 stores as (inputs, outputs).
pub(super) fn is_linear(name: &str) -> bool {
    ["c_attn.weight", "c_proj.weight", "c_fc.weight"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_gpt2_small_are_those_that_are_published() {
        let config = GptConfig {
            vocabulary: 50257,
            block: 1024,
            width: 768,
            heads: 12,
            layers: 12,
            feed_forward: 3072,
            ..GptConfig::default()
        };
        let elements = |config: &GptConfig| -> usize {
            parameter_shapes(config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        assert_eq!(elements(&config), 124_439_808);
        assert_eq!(elements(&GptConfig { tied: false, ..config }), 124_439_808 + 50257 * 768);
        assert_eq!(elements(&GptConfig { position: TokenPositions::Rotary, ..config }), 124_439_808 - 1024 * 768);
        // 13 values of width per block and those of the last norm.
        assert_eq!(elements(&GptConfig { bias: false, ..config }), 124_439_808 - (12 * 11 + 1) * 768);
        let shapes = parameter_shapes(&config);
        let first_vector = shapes.iter().position(|(_, shape)| shape.len() == 1).unwrap();
        assert!(shapes[first_vector..].iter().all(|(_, shape)| shape.len() == 1), "a matrix follows a vector");
    }
}
