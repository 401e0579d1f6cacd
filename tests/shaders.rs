//! Every shader over its grid of constants: it is valid and translates for every backend. Needs no adapter.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ketformer::gpu::Kernel;
use ketformer::kernels::ALL;
use naga::back::{hlsl, msl, spv};

/// Every combination of the values that the source lists for its constants.
fn grid(kernel: &Kernel) -> Vec<Vec<(String, u32)>> {
    let mut combinations = vec![Vec::new()];
    for constant in kernel.spec_constants().unwrap() {
        let extend = |chosen: &Vec<(String, u32)>, value: u32| {
            let mut longer = chosen.clone();
            longer.push((constant.name.clone(), value));
            longer
        };
        combinations = combinations.iter().flat_map(|c| constant.grid.iter().map(move |v| extend(c, *v))).collect();
    }
    combinations
}

#[test]
fn every_variant_translates_for_every_backend_that_can_run_it() {
    for entry in ALL {
        let kernel = entry.kernel();
        for spec in grid(&kernel) {
            let spec: Vec<(&str, u32)> = spec.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let shader = kernel.shader(&spec).unwrap_or_else(|e| panic!("{spec:?}: {e}"));
            let (module, info) = (&shader.module, &shader.info);
            let spirv = spv::Options { lang_version: (1, 3), ..Default::default() };
            spv::write_vec(module, info, &spirv, None)
                .unwrap_or_else(|e| panic!("{} {spec:?} SPIR-V: {e}", kernel.name));
            let metal = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
            let (metal_text, _) = msl::write_string(module, info, &metal, &Default::default())
                .unwrap_or_else(|e| panic!("{} {spec:?} MSL: {e}", kernel.name));
            // naga does not write cooperative matrices for DX12, where they are never enabled.
            if kernel.assemble(&[]).unwrap().contains("enable wgpu_cooperative_matrix") {
                assert!(metal_text.contains("simdgroup_multiply_accumulate"), "{}: MSL without fragments", kernel.name);
                continue;
            }
            // HLSL supports f16 from shader model 6.2 on.
            let halves = shader.text.contains("enable f16;");
            let shader_model = if halves { hlsl::ShaderModel::V6_2 } else { hlsl::ShaderModel::V6_0 };
            let direct = hlsl::Options { shader_model, ..Default::default() };
            let mut text = String::new();
            hlsl::Writer::new(&mut text, &direct, &Default::default())
                .write(module, info, None)
                .unwrap_or_else(|e| panic!("{} {spec:?} HLSL: {e}", kernel.name));
            assert!(text.contains("numthreads"), "{} {spec:?}: HLSL without a kernel", kernel.name);
        }
    }
}

/// Kernels with their vec4 bindings as textures, with one constant varied at a time.
#[test]
fn every_kernel_can_read_textures() {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let mut textures = 0;
    for entry in ALL {
        let kernel = entry.kernel();
        let constants = kernel.spec_constants().unwrap();
        let varied = constants.iter().flat_map(|c| c.grid.iter().map(|value| vec![(c.name.as_str(), *value)]));
        for spec in varied.chain([Vec::new()]) {
            let shader = kernel.shader_with_texels(&spec).unwrap_or_else(|e| panic!("{} {spec:?}: {e}", kernel.name));
            spv::write_vec(&shader.module, &shader.info, &options, None)
                .unwrap_or_else(|e| panic!("{} {spec:?} SPIR-V: {e}", kernel.name));
            let plain = kernel.shader(&spec).unwrap();
            assert_eq!(shader.reflection.bindings, plain.reflection.bindings, "{}", kernel.name);
            assert!(plain.reflection.textures.is_empty(), "{}", kernel.name);
            textures += shader.reflection.textures.len();
        }
    }
    assert!(textures > 100, "only {textures} textures");
}

/// Instructions of a SPIR-V module, each with its opcode.
fn instructions(words: &[u32]) -> impl Iterator<Item = (u32, &[u32])> {
    let mut rest = &words[5..];
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let (instruction, after) = rest.split_at((first >> 16) as usize);
        rest = after;
        Some((first & 0xffff, instruction))
    })
}

/// Whether SPIR-V declares operations of subgroups: a capability of the group `GroupNonUniform`.
fn uses_subgroups(words: &[u32]) -> bool {
    const CAPABILITY: u32 = 17;
    const GROUP_NON_UNIFORM: std::ops::RangeInclusive<u32> = 61..=68;
    instructions(words).any(|(code, words)| code == CAPABILITY && GROUP_NON_UNIFORM.contains(&words[1]))
}

/// Browsers accept the extension only on devices with subgroups.
#[test]
fn exactly_the_kernels_with_subgroup_operations_enable_them_for_browsers() {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let mut enabled = 0;
    for entry in ALL.iter().filter(|entry| !entry.kernel().source.contains("enable wgpu_cooperative_matrix")) {
        let shader = entry.kernel().shader(&[]).unwrap();
        let words = spv::write_vec(&shader.module, &shader.info, &options, None).unwrap();
        let enables = shader.browser_text().starts_with("enable subgroups;\n");
        assert_eq!(enables, uses_subgroups(&words), "{}", entry.kernel().name);
        enabled += usize::from(enables);
    }
    assert!((20..ALL.len() - 20).contains(&enabled), "{enabled} of {}", ALL.len());
}

/// Whether SPIR-V declares 16-bit floats or converts between widths of floats.
fn uses_half(words: &[u32]) -> bool {
    const TYPE_FLOAT: u32 = 22;
    const CONVERT: u32 = 115;
    instructions(words).any(|(code, words)| code == CONVERT || (code == TYPE_FLOAT && words[2] == 16))
}

/// A kernel that stores f32 contains nothing of the f16 storage types.
#[test]
fn only_what_stores_f16_knows_f16() {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let mut storages = 0;
    for entry in ALL {
        let kernel = entry.kernel();
        let spirv = |spec: &[(&str, u32)]| {
            let shader = kernel.shader(spec).unwrap();
            spv::write_vec(&shader.module, &shader.info, &options, None).unwrap()
        };
        let always = kernel.name.starts_with("linear_product_cooperative");
        assert_eq!(uses_half(&spirv(&[])), always, "{} uses f16 without a constant that selects it", kernel.name);
        for constant in kernel.spec_constants().unwrap().iter().filter(|constant| constant.name.ends_with("_BITS")) {
            assert_eq!((constant.default, &constant.grid[..]), (32, &[32, 16][..]), "{}", kernel.name);
            assert!(uses_half(&spirv(&[(&constant.name, 16)])), "{}: {} changes nothing", kernel.name, constant.name);
            storages += 1;
        }
    }
    assert!(storages > 0, "no kernel can store f16");
}

#[test]
fn every_shader_file_is_a_kernel_and_every_kernel_is_used_by_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let families = entries(Path::new(folder)).into_iter().filter(|path| !path.ends_with("shared"));
    let files: BTreeSet<String> = families
        .flat_map(|family| entries(&family))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let kernels: BTreeSet<String> = ALL.iter().map(|entry| entry.kernel().name.to_string()).collect();
    assert_eq!(files, kernels);
    assert_eq!(kernels.len(), ALL.len(), "a kernel is twice in the table");
}

/// Functions for which the WGSL specification allows errors of 2⁻¹¹ (absolute or relative), inherits them, or gives no
/// bound at all. `shared/quarter_turn.wgsl` and `shared/complex_cosh.wgsl` replace those that kernels need.
const INACCURATE: [&str; 13] =
    ["sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "pow"];

#[test]
fn no_shader_calls_inaccurate_functions_of_the_driver() {
    for entry in ALL {
        let text = entry.kernel().assemble(&[]).unwrap();
        for code in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            let called = words.find(|word| INACCURATE.contains(word));
            assert_eq!(called, None, "{}: {code}", entry.kernel().name);
        }
    }
}

#[test]
fn every_shader_says_its_grid_reads_and_makes() {
    for entry in ALL {
        for mark in ["// grid ", "// reads", "// makes"] {
            assert!(entry.kernel().source.contains(mark), "{}: no line `{mark}`", entry.kernel().name);
        }
        assert!(entry.kernel().source.lines().count() <= 130, "{}: over 130 lines", entry.kernel().name);
    }
}
