//! Tuning: a tuned variant changes which shaders run but no bit of a result, and unusable tuning files are refused.

use std::fs;
use std::sync::OnceLock;

use ketformer::gpu::{Gpu, GpuOptions, TunedVariant, Tuning, VariantSelection};
use ketformer::kernels::tuning_doubt;
use ketformer::{ErrorKind, Lattice, Ptf, Rydberg, TrainConfig, Trainer};
use tempfile::TempDir;

/// Device for all tests of this file. It ignores the user's tuning files.
fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let options = GpuOptions { ignore_tuning: true, ..GpuOptions::default() };
    GPU.get_or_init(|| {
        Gpu::with_options(&options).expect("the tests need an adapter; ./setup.sh installs a software one")
    })
    .clone()
}

fn preferred(selections: &VariantSelection, variant: &str) -> TunedVariant {
    TunedVariant { variant: variant.into(), instead_of: selections.default.into(), gain: 2.0 }
}

/// Trains a small network for three steps. Returns the bits of energies and weights.
fn train(gpu: &Gpu, model: &Ptf) -> (Vec<u64>, Vec<u32>) {
    let config = TrainConfig { samples: 60, learning_rate: 1e-3, seed: 3, ..TrainConfig::default() };
    let mut trainer = Trainer::new(gpu, &Lattice::square(4, 4), &Rydberg::default(), model, config).unwrap();
    let energies = trainer.steps(3).map(|report| report.unwrap().energy.to_bits()).collect();
    let weights = trainer.weights().unwrap();
    (energies, weights.tensors.values().flat_map(|tensor| tensor.values.iter().map(|v| v.to_bits())).collect())
}

#[test]
fn no_preference_changes_a_bit_of_a_training() {
    let gpu = gpu();
    // Heads of width 8 over 16 patches use clusters and the short backward kernel. Heads of width 3, and a feed-forward
    // part too wide for its fused kernel, use the other kernels.
    let long = Ptf { patch: ketformer::Patch::Line(1), width: 32, heads: 4, feed_forward: 64, ..Ptf::default() };
    let odd = Ptf { width: 36, heads: 12, feed_forward: 516, ..Ptf::default() };
    let mut varied = std::collections::BTreeSet::new();
    for model in [long, odd] {
        let with_selection_log = gpu.with_selection_log();
        let plain = train(&with_selection_log, &model);
        let mut selections = with_selection_log.selections();
        selections.retain(|selections| selections.bit_identical.len() > 1);
        assert!(
            !selections.is_empty() && selections.iter().all(|selections| selections.taken == selections.default),
            "{selections:?}"
        );
        // All kernels change at once: each to its next variant, then to the one after it, until each has used all of
        // its variants.
        let most = selections.iter().map(|selections| selections.bit_identical.len()).max().unwrap();
        for turn in 1..most {
            let mut tuning = Tuning::default();
            for selections in &selections {
                let at = selections.bit_identical.iter().position(|variant| *variant == selections.default).unwrap();
                let variant = selections.bit_identical[(at + turn) % selections.bit_identical.len()];
                tuning.set(selections.kernel, &selections.class, preferred(selections, variant));
                varied.insert(selections.kernel);
            }
            let tuned = gpu.with_tuning(tuning.clone()).with_selection_log();
            assert_eq!(train(&tuned, &model), plain, "{tuning:?}");
            for selections in tuned.selections().iter().filter(|selections| selections.bit_identical.len() > 1) {
                let wanted =
                    tuning.get(selections.kernel, &selections.class).map(|preferred| preferred.variant.as_str());
                assert_eq!(Some(selections.taken), wanted, "{} {}", selections.kernel, selections.class);
            }
        }
    }
    for kernel in ["linear_product", "linear_gradient", "attention_forward", "attention_suffix"] {
        assert!(varied.contains(kernel) || gpu.subgroup_size().is_none(), "{kernel} is not among {varied:?}");
    }
}

#[test]
fn a_form_that_adds_in_another_order_is_not_taken() {
    let gpu = gpu();
    let model = Ptf { width: 32, heads: 4, feed_forward: 64, ..Ptf::default() };
    let with_selection_log = gpu.with_selection_log();
    let plain = train(&with_selection_log, &model);
    let mut tuning = Tuning::default();
    for selections in with_selection_log.selections() {
        for variant in selections.all.iter().filter(|variant| !selections.bit_identical.contains(variant)) {
            tuning.set(selections.kernel, &selections.class, preferred(&selections, variant));
        }
    }
    assert!(!tuning.is_empty());
    assert_eq!(train(&gpu.with_tuning(tuning), &model), plain);
}

fn some_tuning() -> Tuning {
    let mut tuning = Tuning::default();
    let preferred = TunedVariant { variant: "scalar".into(), instead_of: "subgroup2".into(), gain: 1.5 };
    tuning.set("linear_product", "forward 64 x 64, many rows", preferred);
    tuning
}

#[test]
fn a_tuning_comes_back_from_its_file_as_it_was() {
    let (gpu, folder) = (gpu(), TempDir::new().unwrap());
    let path = folder.path().join("a/b").join(Tuning::file_name(gpu.info()));
    assert_eq!(Tuning::load(&path, gpu.info()).unwrap(), None);
    some_tuning().save(&path, gpu.info()).unwrap();
    assert_eq!(Tuning::load(&path, gpu.info()).unwrap(), Some(some_tuning()));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the file and no part of it");
}

#[test]
fn a_file_that_is_not_whole_or_not_of_this_adapter_is_refused_by_name() {
    let (gpu, folder) = (gpu(), TempDir::new().unwrap());
    let path = folder.path().join("tuning.json");
    some_tuning().save(&path, gpu.info()).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let name = serde_json::to_string(&gpu.info().name).unwrap();
    assert!(whole.contains(&version) && whole.contains(&name), "{whole}");
    for (text, said) in [
        (whole[..whole.len() / 2].to_string(), "no whole tuning file"),
        (String::new(), "no whole tuning file"),
        ("[1, 2]".into(), "no whole tuning file"),
        (whole.replace("\"gain\": 1.5", "\"gain\": \"much\""), "no whole tuning file"),
        (whole.replace("\"gain\"", "\"loss\""), "no whole tuning file"),
        (whole.replace(&version, "\"version\": \"0.0.0\""), "version `0.0.0`"),
        (whole.replace(&name, "\"Voodoo 2\""), "adapter `Voodoo 2`"),
        (whole.replace("\"driver\": \"", "\"driver\": \"old "), "driver `old "),
    ] {
        assert_ne!(text, whole);
        fs::write(&path, text).unwrap();
        let error = Tuning::load(&path, gpu.info()).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::File && text.contains(said) && text.contains("tuning.json"), "{text}");
        assert!(text.contains("ketformer tune") && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn what_there_is_not_or_cannot_run_here_is_doubted_and_ignored() {
    let gpu = gpu();
    assert_eq!(tuning_doubt(&gpu, &some_tuning()), None);
    let with = |kernel: &str, variant: &str| {
        let mut tuning = some_tuning();
        let preferred = TunedVariant { variant: variant.into(), instead_of: "scalar".into(), gain: 1.5 };
        tuning.set(kernel, "forward 64 x 64, few rows", preferred);
        tuning
    };
    assert!(tuning_doubt(&gpu, &with("no_such_kernel", "scalar")).unwrap().contains("no_such_kernel"));
    assert!(tuning_doubt(&gpu, &with("linear_product", "quantum")).unwrap().contains("quantum"));
    // A device without subgroups, of the same adapter.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let plain = Gpu::from_device(&device, &queue);
    assert!(plain.tuning().is_empty(), "a caller's device follows no file");
    let tuning = with("linear_product", "subgroup4");
    assert!(tuning_doubt(&plain, &tuning).unwrap().contains("subgroups"));
    let model = Ptf { width: 16, heads: 4, feed_forward: 32, ..Ptf::default() };
    assert_eq!(train(&plain.with_tuning(tuning), &model), train(&plain, &model));
}

#[test]
fn a_form_that_is_asked_for_by_name_is_taken_or_says_what_it_needs() {
    let gpu = gpu();
    let model = Ptf { width: 32, heads: 4, feed_forward: 64, ..Ptf::default() };
    let forced = gpu.with_variant("scalar").with_selection_log();
    train(&forced, &model);
    let selections = forced.selections();
    assert!(
        selections.iter().any(|selections| selections.kernel == "linear_product"
            && selections.taken == "scalar"
            && selections.forced)
    );
    assert!(
        selections.iter().all(|selections| selections.forced == selections.all.contains(&"scalar")),
        "{selections:?}"
    );
    let config = TrainConfig { samples: 8, ..TrainConfig::default() };
    let odd = Ptf { width: 12, heads: 4, ..Ptf::default() };
    let lattice = Lattice::square(4, 4);
    let error = Trainer::new(&gpu.with_variant("cluster1"), &lattice, &Rydberg::default(), &odd, config)
        .map(|_| ())
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("cluster1") && (text.contains("multiple of 4, got 3") || text.contains("subgroups")),
        "{text}"
    );
}
