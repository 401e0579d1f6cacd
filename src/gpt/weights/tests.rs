use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::convert::transposed;
use super::names::{is_linear, parameter_shapes};
use super::*;
use crate::gpt::TokenPositions;
use crate::kernels::RandomInputs;
use crate::model::Tensor;

const CONFIG: GptConfig = GptConfig {
    vocabulary: 7,
    block: 5,
    width: 8,
    heads: 2,
    layers: 2,
    feed_forward: 12,
    position: TokenPositions::Learned,
    bias: true,
    tied: true,
};

fn weights(config: &GptConfig) -> Weights {
    let mut random = RandomInputs::new(3);
    let tensor =
        |(name, shape): (String, Vec<usize>)| (name, Tensor { values: random.floats(shape.iter().product()), shape });
    Weights { tensors: parameter_shapes(config).into_iter().map(tensor).collect() }
}

/// Weights with a prefix of their names and, as in GPT-2, exchanged rows and columns.
fn stored(weights: &Weights, prefix: &str, is_transposed: bool) -> Weights {
    let tensor = |(name, tensor): (&String, &Tensor)| {
        let prefix = if name.starts_with("lm_head") { prefix.replace("transformer.", "") } else { prefix.into() };
        let turned = is_transposed && is_linear(name);
        (format!("{prefix}{name}"), if turned { transposed(tensor) } else { tensor.clone() })
    };
    Weights { tensors: weights.tensors.iter().map(tensor).collect() }
}

/// File of GPT-2 in a folder without `config.json`.
fn saved(weights: &Weights) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    weights.save(&path).unwrap();
    (folder, path)
}

fn min_gpt(config: &GptConfig, weights: &Weights) -> Value {
    let tensor = |(name, tensor): (&String, &Tensor)| {
        let data = STANDARD.encode(tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        (name.clone(), json!({ "shape": tensor.shape, "dtype": "torch.float32", "data": data }))
    };
    let mut file: BTreeMap<_, _> = stored(weights, "transformer.", false).tensors.iter().map(tensor).collect();
    let config = json!({
        "model_type": "gpt-nano", "n_layer": config.layers, "n_head": config.heads, "n_embd": config.width,
        "vocab_size": config.vocabulary, "block_size": config.block, "embd_pdrop": 0.1,
    });
    file.insert("config".into(), config);
    json!(file)
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> &Path {
    std::fs::write(path, bytes).unwrap();
    path
}

/// The message of an error, which is one line and names the file.
fn message(result: Result<LoadedGpt>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains("; "), "{text}");
    text
}

#[test]
fn every_format_gives_the_same_model() {
    for (bias, tied) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = GptConfig { bias, tied, ..CONFIG };
        let weights = weights(&config);
        for (prefix, is_transposed) in [
            ("", true),
            ("transformer.", true),
            ("transformer.", false),
            ("_orig_mod.transformer.", false),
            ("module._orig_mod.transformer.", false),
            ("", false),
        ] {
            let mut file = stored(&weights, prefix, is_transposed);
            for layer in 0..config.layers {
                let mask = Tensor { shape: vec![1, 1, 5, 5], values: vec![1.0; 25] };
                let masked = Tensor { shape: vec![], values: vec![-1e4] };
                file.tensors.insert(format!("{prefix}h.{layer}.attn.bias"), mask);
                file.tensors.insert(format!("{prefix}h.{layer}.attn.masked_bias"), masked);
            }
            let (_folder, path) = saved(&file);
            let loaded = LoadedGpt::load(&path, Some(2)).unwrap();
            assert_eq!((&loaded.config, &loaded.weights), (&config, &weights), "{prefix} {is_transposed}");
            assert_eq!(
                loaded.left_out,
                ["h.0.attn.bias", "h.0.attn.masked_bias", "h.1.attn.bias", "h.1.attn.masked_bias"]
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.json");
        let file = serde_json::to_string_pretty(&min_gpt(&config, &weights)).unwrap();
        let loaded = LoadedGpt::load(write(&path, file), None).unwrap();
        assert_eq!((loaded.config, loaded.weights), (config, weights));
    }
}

#[test]
fn a_projection_that_equals_the_embedding_is_tied() {
    let weights = weights(&CONFIG);
    let mut file = stored(&weights, "transformer.", true);
    file.tensors.insert("lm_head.weight".into(), weights.tensors["wte.weight"].clone());
    let (_folder, path) = saved(&file);
    let loaded = LoadedGpt::load(path, Some(2)).unwrap();
    assert_eq!((loaded.config, loaded.weights), (CONFIG, weights));
}

#[test]
fn what_is_saved_for_hugging_face_is_loaded() {
    for (bias, tied, position) in [
        (true, true, TokenPositions::Learned),
        (false, false, TokenPositions::Learned),
        (true, true, TokenPositions::Sinusoidal),
    ] {
        let config = GptConfig { bias, tied, position, ..CONFIG };
        let weights = weights(&config);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        save_hugging_face(&folder, &config, &weights).unwrap();
        let loaded = LoadedGpt::load(&folder, None).unwrap();
        assert_eq!(loaded.config, GptConfig { bias: true, position: TokenPositions::Learned, ..config });
        for (name, tensor) in &loaded.weights.tensors {
            match weights.tensors.get(name) {
                Some(own) => assert_eq!(tensor, own, "{name}"),
                None if name == "wpe.weight" => {
                    // As large as the token embedding: sin(0), cos(0); channels 2 and 3 of position 3 at C = 8.
                    let large = (0.02 * 2f64.sqrt()) as f32;
                    assert_eq!(tensor.values[..2], [0.0, large]);
                    let angle: f64 = 3.0 / 10000f64.powf(2.0 / 8.0);
                    assert_eq!(
                        tensor.values[3 * 8 + 2..][..2],
                        [angle.sin(), angle.cos()].map(|wave| (0.02 * 2f64.sqrt() * wave) as f32)
                    );
                }
                None => assert!(!bias && tensor.values.iter().all(|value| *value == 0.0), "{name}"),
            }
        }
    }
}

#[test]
fn what_hugging_face_does_not_have_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let failure = |config: &GptConfig, weights: &Weights| {
        let error = save_hugging_face(folder.path(), config, weights).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a file was written");
        error.to_string()
    };
    let rotary = GptConfig { position: TokenPositions::Rotary, ..CONFIG };
    assert!(failure(&rotary, &weights(&rotary)).contains("position is rotary"));
    assert!(failure(&CONFIG, &weights(&rotary)).contains("no tensor `wpe.weight`"));
    assert!(
        failure(&GptConfig { block: 6, ..CONFIG }, &weights(&CONFIG)).contains("shape [5, 8], the model needs [6, 8]")
    );
    let untied = weights(&GptConfig { tied: false, ..CONFIG });
    assert!(failure(&CONFIG, &untied).contains("no parameter `lm_head.weight`"));
    let error = save_hugging_face(write(&folder.path().join("file"), "").join("sub"), &CONFIG, &weights(&CONFIG));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::File);
}

#[test]
fn heads_are_declared_or_given() {
    let (folder, path) = saved(&stored(&weights(&CONFIG), "transformer.", true));
    assert!(message(LoadedGpt::load(&path, None)).contains("the number of heads is not in the file; give heads"));
    assert!(message(LoadedGpt::load(&path, Some(3))).contains("heads is 3, expected a divisor of the width 8"));
    assert!(message(LoadedGpt::load(&path, Some(0))).contains("heads is 0"));
    let config = folder.path().join("config.json");
    write(&config, r#"{"n_head": 4, "n_inner": null, "model_type": "gpt2"}"#);
    assert_eq!(LoadedGpt::load(&path, None).unwrap().config.heads, 4);
    assert_eq!(LoadedGpt::load(&path, Some(4)).unwrap().config.heads, 4);
    assert!(message(LoadedGpt::load(&path, Some(2))).contains("heads is 2, and the model has 4"));
}

#[test]
fn settings_that_do_not_describe_the_tensors_are_errors() {
    let (folder, path) = saved(&stored(&weights(&CONFIG), "", true));
    for (config, expected) in [
        ("{\"n_head\": 2", "config.json is not a complete JSON object"),
        ("[2]", "config.json is not a complete JSON object"),
        ("{\"n_head\": \"two\"}", "`n_head` is \"two\", expected a whole number above 0"),
        ("{\"n_head\": 0}", "`n_head` is 0"),
        ("{\"n_head\": 2, \"model_type\": \"llama\"}", "type \"llama\", expected \"gpt2\""),
        (
            "{\"n_head\": 2, \"activation_function\": \"relu\"}",
            "`activation_function` is \"relu\", expected \"gelu_new\"",
        ),
        ("{\"n_head\": 2, \"layer_norm_epsilon\": 1e-6}", "`layer_norm_epsilon` is 1e-6, expected 1e-5"),
        ("{\"n_head\": 2, \"scale_attn_weights\": false}", "`scale_attn_weights` is false"),
        ("{\"n_head\": 2, \"tie_word_embeddings\": 1}", "`tie_word_embeddings` is 1, expected true or false"),
        ("{\"n_head\": 2, \"tie_word_embeddings\": false}", "there is no tensor `lm_head.weight`, and"),
        ("{\"n_head\": 2, \"n_layer\": 3}", "declares layers 3, the tensors have 2"),
        ("{\"n_head\": 2, \"n_embd\": 16}", "declares width 16, the tensors have 8"),
        ("{\"n_head\": 2, \"vocab_size\": 8}", "declares vocabulary 8, the tensors have 7"),
        ("{\"n_head\": 2, \"n_positions\": 6}", "declares block 6, the tensors have 5"),
        ("{\"n_head\": 2, \"n_inner\": 32}", "declares feed_forward 32, the tensors have 12"),
    ] {
        write(&folder.path().join("config.json"), config);
        let text = message(LoadedGpt::load(&path, None));
        assert!(text.contains("config.json") && text.contains(expected), "{text}");
    }
    for epsilon in ["1e-5", "1e-05", "0.00001"] {
        write(&folder.path().join("config.json"), format!("{{\"n_head\": 2, \"layer_norm_epsilon\": {epsilon}}}"));
        assert!(LoadedGpt::load(&path, None).is_ok(), "{epsilon}");
    }
    let mut untied = stored(&weights(&GptConfig { tied: false, ..CONFIG }), "", true);
    untied.save(&path).unwrap();
    write(&folder.path().join("config.json"), "{\"n_head\": 2, \"tie_word_embeddings\": true}");
    assert!(message(LoadedGpt::load(&path, None)).contains("`lm_head.weight` is not `wte.weight`, and"));
    untied.tensors.remove("lm_head.weight");
    untied.save(&path).unwrap();
    assert!(LoadedGpt::load(&path, None).unwrap().config.tied);
}

#[test]
fn tensors_that_do_not_fit_are_errors() {
    type Change = fn(&mut BTreeMap<String, Tensor>);
    let cases: [(Change, &str); 12] = [
        (|t| drop(t.remove("wte.weight")), "there is no tensor `wte.weight`"),
        (|t| drop(t.remove("wpe.weight")), "there is no tensor `wpe.weight`"),
        (|t| drop(t.remove("h.1.ln_2.bias")), "there is no tensor `h.1.ln_2.bias`"),
        (|t| drop(t.remove("h.1.attn.c_attn.weight")), "there is no tensor `h.1.attn.c_attn.weight`"),
        (|t| t.retain(|name, _| !name.starts_with("h.0.")), "there is no tensor `h.0.attn.c_attn.weight`"),
        (|t| t.get_mut("wte.weight").unwrap().shape = vec![56], "`wte.weight` has shape [56], expected a matrix"),
        (
            |t| t.get_mut("h.0.attn.c_attn.weight").unwrap().shape = vec![12, 16],
            "`h.0.attn.c_attn.weight` has shape [12, 16], expected [24, 8] or [8, 24]",
        ),
        (
            |t| t.get_mut("h.1.attn.c_attn.weight").unwrap().shape = vec![24, 8],
            "`h.1.attn.c_attn.weight` has shape [24, 8], expected [8, 24]",
        ),
        (|t| t.get_mut("h.1.mlp.c_fc.bias").unwrap().shape = vec![3, 4], "has shape [3, 4], expected [12]"),
        (|t| t.get_mut("ln_f.bias").unwrap().values[3] = f32::NAN, "`ln_f.bias` holds numbers that are not finite"),
        (
            |t| drop(t.insert("h.7.ln_3.weight".into(), Tensor { shape: vec![1], values: vec![0.0] })),
            "there is no tensor `h.2.attn.c_attn.weight`",
        ),
        (
            |t| drop(t.insert("h.1.ln_3.weight".into(), Tensor { shape: vec![1], values: vec![0.0] })),
            "tensor `h.1.ln_3.weight` is not one of a GPT-2",
        ),
    ];
    for (change, expected) in cases {
        let mut file = stored(&weights(&CONFIG), "", true);
        change(&mut file.tensors);
        let (_folder, path) = saved(&file);
        let text = message(LoadedGpt::load(&path, Some(2)));
        assert!(text.contains("model.safetensors") && text.contains(expected), "{text}");
    }
    let mut file = stored(&weights(&CONFIG), "", true);
    file.tensors.insert("transformer.ln_f.bias".into(), file.tensors["ln_f.bias"].clone());
    let (_folder, path) = saved(&file);
    assert!(message(LoadedGpt::load(&path, Some(2))).contains("both `ln_f.bias` and `transformer.ln_f.bias`"));
}

#[test]
fn files_that_are_no_weights_are_errors() {
    let (folder, path) = saved(&stored(&weights(&CONFIG), "", true));
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 7, 100, bytes.len() - 1] {
        let text = message(LoadedGpt::load(write(&path, &bytes[..keep]), Some(2)));
        assert!(text.contains("model.safetensors is not a complete safetensors file"), "{text}");
    }
    assert!(message(LoadedGpt::load(write(&path, b"\x80\x02}q\x00."), Some(2))).contains("a pickle"));
    let missing = LoadedGpt::load(folder.path().join("none.safetensors"), Some(2)).unwrap_err();
    assert!(missing.kind() == ErrorKind::File && missing.to_string().contains("none.safetensors cannot be read"));

    let path = folder.path().join("model.json");
    let text = min_gpt(&CONFIG, &weights(&CONFIG)).to_string();
    for keep in [1, 40, text.len() - 1] {
        let text = message(LoadedGpt::load(write(&path, &text[..keep]), None));
        assert!(text.contains("model.json: it is not a complete JSON object"), "{text}");
    }
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 8] = [
        (|file| drop(file.as_object_mut().unwrap().remove("config")), "it has no object `config`"),
        (|file| file["config"]["n_head"] = Value::Null, "the number of heads is not in the file"),
        (|file| file["config"]["n_layer"] = json!(3), "declares layers 3, the tensors have 2"),
        (|file| file["note"] = json!("mine"), "`note` must have shape, dtype and data"),
        (|file| file["transformer.wte.weight"]["dtype"] = json!("torch.float16"), "is torch.float16, expected"),
        (
            |file| file["transformer.wte.weight"]["data"] = json!("AAA"),
            "data of tensor `transformer.wte.weight` is not",
        ),
        (|file| file["transformer.wte.weight"]["data"] = json!("AAAA"), "of shape [7, 8] has 3 bytes of data"),
        (|file| file["transformer.wte.weight"]["shape"] = json!([usize::MAX, 8]), "has 224 bytes of data"),
    ];
    for (change, expected) in cases {
        let mut file = min_gpt(&CONFIG, &weights(&CONFIG));
        change(&mut file);
        let text = message(LoadedGpt::load(write(&path, file.to_string()), None));
        assert!(text.contains("model.json") && text.contains(expected), "{text}");
    }
}

#[test]
fn integers_where_floats_belong_are_errors() {
    use safetensors::tensor::{Dtype, TensorView};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let weights = stored(&weights(&CONFIG), "transformer.", true);
    let views = weights.tensors.iter().map(|(name, tensor)| {
        let dtype = if name == "transformer.wpe.weight" { Dtype::I32 } else { Dtype::F32 };
        (name, TensorView::new(dtype, tensor.shape.clone(), bytemuck::cast_slice(&tensor.values)).unwrap())
    });
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    assert!(message(LoadedGpt::load(&path, Some(2))).contains("tensor `wpe.weight` is I32, expected floats"));
}
