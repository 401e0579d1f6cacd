//! Compilers and validators of other projects: Tint (Chromium), DXC (DX12), spirv-val (Khronos).
//!
//! They receive the texts of all kernels with one constant varied at a time. `.ci/run` installs them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ketformer::Result;
use ketformer::gpu::{Kernel, Shader};
use ketformer::kernels::ALL;
use naga::back::{hlsl, spv};

/// Shaders with different texts, with a name for each. Kernels with cooperative matrices are an extension of naga.
fn shaders(shader: impl Fn(&Kernel, &[(&str, u32)]) -> Result<Shader>) -> Vec<(String, Shader)> {
    let mut texts = BTreeSet::new();
    let kernels: Vec<Kernel> = ALL.iter().map(|entry| entry.kernel()).collect();
    let all = kernels.iter().flat_map(|kernel| super::shaders(kernel, |spec| shader(kernel, spec)));
    all.filter(|(_, shader)| !shader.text.contains("enable wgpu_cooperative_matrix"))
        .filter(|(_, shader)| texts.insert(shader.text.clone()))
        .collect()
}

/// The file or folder in an environment variable.
fn path(variable: &str, content: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set; it names {content}")))
}

/// Runs a script that reads a folder with `count` texts and prints how many are accepted, after the faults of the others.
fn all_are_accepted(command: &mut Command, count: usize) {
    assert!(count > 500, "only {count} texts");
    let ended = command.output().unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.trim() == format!("{count} accepted"), "expected {count} accepted, got\n{said}");
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/front_ends");

#[test]
#[ignore = "needs Node.js with the package webgpu in the folder KETFORMER_DAWN; .ci/run includes it"]
fn tint_accepts_every_kernel() {
    let dawn = path("KETFORMER_DAWN", "the folder with the package webgpu");
    let (folder, shaders) = (tempfile::tempdir().unwrap(), shaders(Kernel::shader));
    for (name, shader) in &shaders {
        fs::write(folder.path().join(format!("{name}.wgsl")), shader.browser_text()).unwrap();
    }
    // Node.js looks for packages next to the script.
    let script = dawn.join("ketformer-tint.mjs");
    fs::copy(Path::new(FOLDER).join("tint.mjs"), &script).unwrap();
    all_are_accepted(Command::new("node").arg(&script).arg(folder.path()), shaders.len());
}

/// wgpu gives DXC the same text without bounds checks, initialization of workgroup memory and bounded loops.
#[test]
#[ignore = "needs Python and the library libdxcompiler.so in the variable KETFORMER_DXC; .ci/run includes it"]
fn dxc_accepts_every_kernel() {
    let library = path("KETFORMER_DXC", "the library libdxcompiler.so");
    let (folder, shaders) = (tempfile::tempdir().unwrap(), shaders(Kernel::shader));
    for (name, shader) in &shaders {
        // The first shader model with subgroups, and the first with f16.
        let (shader_model, profile) = match shader.text.contains("enable f16;") {
            true => (hlsl::ShaderModel::V6_2, "cs_6_2"),
            false => (hlsl::ShaderModel::V6_0, "cs_6_0"),
        };
        let options = hlsl::Options {
            shader_model,
            zero_initialize_workgroup_memory: false,
            restrict_indexing: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &Default::default()).write(&shader.module, &shader.info, None).unwrap();
        fs::write(folder.path().join(format!("{name}.{profile}.hlsl")), text).unwrap();
    }
    let script = Path::new(FOLDER).join("dxc.py");
    all_are_accepted(Command::new("python3").arg(script).arg(library).arg(folder.path()), shaders.len());
}

/// The SPIR-V that wgpu gives to drivers of Vulkan 1.1 and 1.3, also with bindings as textures.
#[test]
#[ignore = "needs the program spirv-val (spirv-tools); .ci/run includes it"]
fn spirv_val_accepts_every_kernel() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let plain = shaders(Kernel::shader).into_iter();
    let textured = shaders(Kernel::shader_with_texels).into_iter().map(|(name, shader)| (name + " textures", shader));
    let textured = textured.filter(|(_, shader)| !shader.reflection.textures.is_empty());
    let (mut count, mut faults) = (0, Vec::new());
    for (name, shader) in plain.chain(textured) {
        for (lang_version, environment) in [((1, 3), "vulkan1.1"), ((1, 6), "vulkan1.3")] {
            let options = spv::Options {
                lang_version,
                zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
                force_loop_bounding: false,
                bounds_check_policies: naga::proc::BoundsCheckPolicies::default(),
                ..Default::default()
            };
            let words = spv::write_vec(&shader.module, &shader.info, &options, None).unwrap();
            fs::write(file.path(), words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
            let mut command = Command::new("spirv-val");
            let ended = command.args(["--target-env", environment]).arg(file.path()).output();
            let ended = ended.unwrap_or_else(|e| panic!("spirv-val: {e}; install spirv-tools"));
            if !ended.status.success() {
                faults.push(format!("{name} for {environment}: {}", String::from_utf8_lossy(&ended.stderr).trim()));
            }
            count += 1;
        }
    }
    assert!(count > 1000, "only {count} texts");
    assert!(faults.is_empty(), "{} of {count} refused:\n{}", faults.len(), faults.join("\n"));
}
