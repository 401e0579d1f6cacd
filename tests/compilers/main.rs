//! The kernels that GPUs run, judged by real Vulkan compilers without hardware: registers, spills, scratch memory,
//! occupancy, the share of multiply-adds in hot loops, and the processor time of compilation.
//!
//! Mesa's RADV driver offers any AMD family as a device that compiles and does not compute (`RADV_FORCE_FAMILY`). The
//! kernels are those that [`Gpu::planning`] selects for training steps and for attention of several lengths.
//!
//! The test needs the driver: `cargo test --release --test compilers -- --ignored`, on Linux with mesa-vulkan-drivers.
//! `KETFORMER_TEST_STATISTICS=FILE` writes the statistics of the RX 6800's kernels, for `ketformer bench model`.
//! `benches/compilers.sh` runs it on Mesa's compilers for Intel and NVIDIA.
#![cfg(target_os = "linux")]

mod assembly;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use ash::vk;
use ketformer::bench::record_suite;
use ketformer::gpu::{Access, Gpu, GpuFigures, PlannedLaunch, Shader};
use ketformer::kernels;

use assembly::HotLoop;

/// Driver description of RADV, as Debian installs it.
const DRIVER: &str = "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json";

/// Environment variable with the key of the GPU whose kernels this process compiles, by the driver of its environment.
const COMPILER: &str = "KETFORMER_TEST_COMPILER";

/// Environment variable with the file for the statistics of the RX 6800's kernels.
const STATISTICS: &str = "KETFORMER_TEST_STATISTICS";

/// Families of RADV, and GPUs with the same subgroups.
const FAMILIES: [(&str, &str); 3] = [("navi21", "rx6800"), ("gfx1100", "rx7900xtx"), ("vega10", "vega64")];

/// Least number of subgroups per SIMD that hides the latency of memory: 8 on RDNA. A SIMD of Vega has a quarter of the
/// registers, which 128 per lane divide into 2.
fn least_subgroups(key: &str) -> u64 {
    if key == "vega64" { 2 } else { 8 }
}

/// Kernels with fewer subgroups per SIMD than [`least_subgroups`], and why.
const EXCEPTIONS: &[(&str, u64, &str)] = &[(
    "attention_backward_short_tiled",
    6,
    "queries, keys, values, scores and their gradients of a head are in workgroup memory, which limits it before registers do",
)];

/// Least share of multiply-adds in the vector cycles of hot loops on the RX 6800.
const LEAST_ISSUE: &[(&str, f64)] = &[
    ("attention_backward_key_tiled", 0.9),
    ("attention_backward_query_tiled", 0.9),
    ("attention_backward_short_tiled", 0.9),
    ("attention_forward_wide", 0.9),
    ("attention_general_backward_key_tiled", 0.9),
    ("attention_general_backward_query_tiled", 0.9),
    ("attention_general_forward_tiled", 0.9),
    ("attention_suffix_wide", 0.8),
    ("feed_forward_slices", 0.95),
    ("linear_gradient_tiled", 0.85),
    ("linear_product_tiled", 0.85),
    ("transformer_decode", 0.8),
];

/// Longest processor time in seconds for the compilation of a kernel, from its source to machine code.
const LONGEST_COMPILATION: f64 = 2.0;

/// A kernel with its constants.
type Form = (String, BTreeMap<String, u32>);

/// The kernels that `figures` selects for training steps and for attention of short and long sequences.
fn forms(figures: &GpuFigures) -> BTreeSet<Form> {
    let mut forms = BTreeSet::new();
    let form = |launch: PlannedLaunch<'_>| (launch.kernel.into(), launch.spec.iter().cloned().collect());
    record_suite(&Gpu::planning(figures).unwrap(), |plan| forms.extend(plan.launches().map(form))).unwrap();
    forms
}

/// Device of the driver that compiles kernels and reports statistics.
struct Compiler {
    _entry: ash::Entry,
    device: ash::Device,
    properties: ash::khr::pipeline_executable_properties::Device,
}

impl Compiler {
    fn new() -> Self {
        // SAFETY: the loader is that of the system, and every structure lives until its call returns.
        unsafe {
            let entry = ash::Entry::load().expect("no Vulkan loader; install libvulkan1");
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).expect("no Vulkan driver; install mesa-vulkan-drivers");
            let gpu = instance.enumerate_physical_devices().unwrap()[0];
            let mut statistics =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut vulkan13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut vulkan12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut vulkan11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut supported = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut vulkan11)
                .push_next(&mut vulkan12)
                .push_next(&mut vulkan13);
            instance.get_physical_device_features2(gpu, &mut supported);
            let mut supported = supported.push_next(&mut statistics);
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let extensions = [ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut supported);
            let device = instance.create_device(gpu, &create, None).unwrap();
            let properties = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Self { _entry: entry, device, properties }
        }
    }

    /// Statistics of a compiled kernel by name, and its assembly if the driver has it.
    fn compile(&self, shader: &Shader) -> (BTreeMap<String, u64>, String) {
        let options = naga::back::spv::Options {
            lang_version: (1, 3),
            zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            bounds_check_policies: naga::proc::BoundsCheckPolicies::default(),
            ..Default::default()
        };
        let words = naga::back::spv::write_vec(&shader.module, &shader.info, &options, None).unwrap();
        let reflection = &shader.reflection;
        let kind = |access: &Access| match access {
            Access::Uniform(_) => vk::DescriptorType::UNIFORM_BUFFER,
            Access::Read | Access::Write => vk::DescriptorType::STORAGE_BUFFER,
        };
        let params = reflection.params_binding.map(|(number, _)| (number, vk::DescriptorType::UNIFORM_BUFFER));
        let bindings = reflection.bindings.iter().map(|(number, _, access)| (*number, kind(access))).chain(params);
        let bindings: Vec<_> = bindings
            .map(|(number, kind)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(number)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        // SAFETY: handles are of this device, and every structure lives until its call returns.
        unsafe {
            let create = vk::ShaderModuleCreateInfo::default().code(&words);
            let module = self.device.create_shader_module(&create, None).unwrap();
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [self.device.create_descriptor_set_layout(&create, None).unwrap()];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&create, None).unwrap();
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let captures = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let create = vk::ComputePipelineCreateInfo::default().flags(captures).stage(stage).layout(layout);
            let pipelines = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None);
            let pipeline = pipelines.map_err(|(_, error)| error).unwrap()[0];
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
            let statistics = self.properties.get_pipeline_executable_statistics(&info).unwrap();
            let named = statistics.iter().map(|statistic| {
                let name = statistic.name_as_c_str().unwrap().to_string_lossy().into_owned();
                (name, statistic.value.u64)
            });
            let named = named.collect();
            let assembly = self.assembly(&info);
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_pipeline_layout(layout, None);
            self.device.destroy_descriptor_set_layout(sets[0], None);
            self.device.destroy_shader_module(module, None);
            (named, assembly)
        }
    }

    /// Assembly of a pipeline; empty if the driver has none.
    ///
    /// # Safety
    /// The pipeline is alive and captured its internal representations.
    unsafe fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> String {
        // SAFETY: the second call writes at most the sizes that the first call returned.
        unsafe {
            let get = self.properties.fp().get_pipeline_executable_internal_representations_khr;
            let device = self.device.handle();
            let mut count = 0;
            get(device, info, &raw mut count, std::ptr::null_mut()).result().unwrap();
            let mut texts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            get(device, info, &raw mut count, texts.as_mut_ptr()).result().unwrap();
            let mut bytes: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.data_size]).collect();
            for (text, bytes) in texts.iter_mut().zip(&mut bytes) {
                text.p_data = bytes.as_mut_ptr().cast();
            }
            get(device, info, &raw mut count, texts.as_mut_ptr()).result().unwrap();
            let is_assembly = |text: &vk::PipelineExecutableInternalRepresentationKHR<'_>| {
                text.name_as_c_str().is_ok_and(|name| name.to_string_lossy() == "Assembly")
            };
            let found = texts.iter().position(is_assembly);
            found.map_or(String::new(), |at| String::from_utf8_lossy(&bytes[at]).into_owned())
        }
    }
}

/// Statistics that name memory for spilled registers or arrays, on any driver.
const SPILLS: [&str; 6] =
    ["Spilled VGPRs", "Scratch size", "Spill Count", "Fill Count", "Scratch Memory Size", "SLM Size"];

/// Other statistics to print, on any driver.
const SHOWN: [&str; 8] = [
    "VGPRs",
    "Number of GPRs",
    "Max live registers",
    "Subgroups per SIMD",
    "LDS size",
    "Workgroup Memory Size",
    "Code size",
    "Cycle Count",
];

/// Processor time of this process. Unlike wall time, it does not depend on the load of the machine.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "no clock of processor time");
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Compiles all forms of a GPU with the driver of the environment, and lists what is wrong with them.
fn check(key: &str) {
    let compiler = Compiler::new();
    let forms = forms(GpuFigures::find(key).unwrap());
    assert!(forms.len() > 60, "only {} forms", forms.len());
    let (mut faults, mut all) = (Vec::new(), Vec::new());
    for form in &forms {
        let (kernel, spec) = form;
        let pairs: Vec<(&str, u32)> = spec.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let start = processor_time();
        let shader = kernels::find(kernel).unwrap().kernel().shader(&pairs).unwrap();
        let (statistics, assembly) = compiler.compile(&shader);
        let seconds = (processor_time() - start).as_secs_f64();
        let known: Vec<u64> = SPILLS.iter().filter_map(|name| statistics.get(*name).copied()).collect();
        assert!(!known.is_empty(), "no statistics of spills in {statistics:?}");
        let mut wrong = Vec::new();
        if seconds > LONGEST_COMPILATION {
            wrong.push(format!("compiles in {seconds:.1} s of processor time, expected {LONGEST_COMPILATION} s"));
        }
        if known.iter().any(|count| *count > 0) {
            wrong.push("registers are spilled or arrays are in memory".to_string());
        }
        let subgroups = statistics.get("Subgroups per SIMD").copied();
        let exception = EXCEPTIONS.iter().find(|(name, _, _)| name == kernel);
        let least = exception.map_or(u64::MAX, |(_, least, _)| *least).min(least_subgroups(key));
        if subgroups.is_some_and(|subgroups| subgroups < least) {
            wrong.push(format!("expected at least {least} subgroups per SIMD"));
        }
        let hot = HotLoop::of(&assembly);
        if let (Some(hot), Some(subgroups)) = (hot, subgroups) {
            all.push(hot.statistics(form, subgroups));
            let least = LEAST_ISSUE.iter().find(|(name, _)| *name == kernel && key == "rx6800");
            wrong.extend(
                least.filter(|(_, least)| hot.issue() < *least).map(|(_, least)| format!("issue below {least}")),
            );
        }
        let shares = hot.map(|hot| format!("issue {:.2}, workgroup memory {:.2}", hot.issue(), hot.workgroup_memory()));
        let shown = SPILLS.iter().chain(&SHOWN);
        let numbers: Vec<String> =
            shown.filter_map(|name| Some(format!("{name} {}", statistics.get(*name)?))).collect();
        let line = format!("{kernel} {pairs:?}: {}; {}", shares.unwrap_or_default(), numbers.join(", "));
        println!("{key} {line}");
        faults.extend((!wrong.is_empty()).then(|| format!("{}: {line}", wrong.join("; "))));
    }
    if let Ok(path) = std::env::var(STATISTICS)
        && key == "rx6800"
    {
        std::fs::write(path, serde_json::to_string_pretty(&all).unwrap()).unwrap();
    }
    assert!(faults.is_empty(), "{key}: {} of {} forms:\n{}", faults.len(), forms.len(), faults.join("\n"));
}

#[test]
#[ignore = "needs Mesa's RADV driver (mesa-vulkan-drivers); .ci/run includes it"]
fn gpus_run_kernels_without_spills_and_with_enough_subgroups() {
    if let Ok(key) = std::env::var(COMPILER) {
        return check(&key);
    }
    assert!(std::path::Path::new(DRIVER).exists(), "{DRIVER} is missing; install mesa-vulkan-drivers");
    let passes = |(family, key): &(&str, &str)| {
        let name = "gpus_run_kernels_without_spills_and_with_enough_subgroups";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", name, "--nocapture"])
            .env(COMPILER, key)
            .env("RADV_FORCE_FAMILY", family)
            .env("RADV_DEBUG", "nocache")
            .env("VK_ICD_FILENAMES", DRIVER)
            .env("VK_DRIVER_FILES", DRIVER)
            .status();
        status.unwrap().success()
    };
    let failed: Vec<&str> = FAMILIES.iter().filter(|family| !passes(family)).map(|(family, _)| *family).collect();
    assert!(failed.is_empty(), "{failed:?}: see above");
}
