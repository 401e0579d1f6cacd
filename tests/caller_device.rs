//! Devices, kernels and errors of an application that embeds this crate: what stays the application's, and what is checked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ketformer::gpu::{Bind, Cost, DType, Gpu, GpuOptions, Groups, Kernel, KernelSource, Launch, Param, Plan, View};
use ketformer::kernels::attention::{AttentionBackward, AttentionShape};
use ketformer::kernels::{self, RandomInputs, Values};
use ketformer::{ErrorKind, wgpu};

fn adapter() -> wgpu::Adapter {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    pollster::block_on(instance.request_adapter(&Default::default())).unwrap()
}

fn plain_device() -> (wgpu::Device, wgpu::Queue) {
    pollster::block_on(adapter().request_device(&Default::default())).unwrap()
}

fn bind<'a>(name: &'a str, view: &'a View, elements: u64) -> Bind<'a> {
    Bind { name, view, elements }
}

/// A kernel of the application that indexes where it should not: `at` is beyond an array of its own and beyond a binding.
const OUTSIDE: Kernel = Kernel::new(KernelSource {
    name: "outside",
    source: "struct Params { at: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> x: array<u32>;
        @group(0) @binding(2) var<storage, read_write> y: array<u32>;
        var<workgroup> shared_words: array<u32, 1024>;
        @compute @workgroup_size(1) fn main() {
            var own = array<u32, 4>(10u, 11u, 12u, 13u);
            own[params.at % 2u] += 1u;
            y[0] = own[params.at];
            y[1] = x[params.at];
            y[params.at] = 5u;
            y[2] = shared_words[params.at % 1024u];
            var turns = 0u;
            loop { turns += 1u; if (turns > 100u) { break; } }
            y[3] = turns;
        }",
    shared: &[],
});

/// Records [`OUTSIDE`] with an index 4 · 64 elements beyond the bound range, but within the buffers.
fn record_outside(gpu: &Gpu, x: &View, y: &View) -> ketformer::Result<Plan> {
    let mut plan = Plan::new(gpu);
    plan.launch(&Launch {
        kernel: &OUTSIDE,
        spec: &[],
        bindings: &[bind("x", x, 64), bind("y", y, 64)],
        params: &[("at", Param::U32(256))],
        groups: Groups::Fixed(1),
        cost: Cost::default(),
        shape: String::new(),
    })?;
    Ok(plan)
}

#[test]
fn a_kernel_of_the_caller_stays_within_its_bindings_and_arrays() {
    let (device, queue) = plain_device();
    let gpu = Gpu::from_device(&device, &queue);
    let secret = gpu.upload("x", &[7u32; 512]).unwrap();
    let kept = gpu.upload("y", &[9u32; 512]).unwrap();
    let (x, y) = (secret.range("x", 0, 64).unwrap(), kept.range("y", 0, 64).unwrap());
    x.write(&gpu, &[1u32; 64]).unwrap();
    record_outside(&gpu, &x, &y).unwrap().run().unwrap();
    let found: Vec<u32> = kept.read(&gpu, 512).unwrap();
    // wgpu clamps the index of the array. Of the binding it clamps the index or returns zero.
    assert_eq!(found[0], 13);
    assert!([0, 1].contains(&found[1]), "{}", found[1]);
    assert_eq!((found[2], found[3]), (0, 101));
    assert!(found[64..].iter().all(|word| *word == 9), "a write outside of the binding");
}

/// Two kernels of one name, one of which is also that of a kernel of this crate.
#[test]
fn kernels_are_told_apart_by_their_source() {
    let gpu = Gpu::new().unwrap();
    let y = gpu.buffer("y", 64).unwrap();
    let mut found = Vec::new();
    for digit in ["3", "4"] {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
             @compute @workgroup_size(1) fn main() {{ y[0] = {digit}u; }}"
        );
        let kernel = Kernel::new(KernelSource { name: "probe_copy", source: source.leak(), shared: &[] });
        let mut plan = Plan::new(&gpu);
        let launch = Launch {
            kernel: &kernel,
            spec: &[],
            bindings: &[bind("y", &y, 64)],
            params: &[],
            groups: Groups::Fixed(1),
            cost: Cost::default(),
            shape: String::new(),
        };
        plan.launch(&launch).unwrap();
        plan.run().unwrap();
        found.push(y.read::<u32>(&gpu, 1).unwrap()[0]);
    }
    assert_eq!(found, [3, 4]);
    let case = (kernels::find("probe_copy").unwrap().cases)(&gpu).swap_remove(0);
    assert!(case.compare(&case.run(&gpu).unwrap()).iter().all(|compared| compared.passed()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_without_bounds_checks_runs_no_kernel_of_the_caller() {
    let gpu = Gpu::with_options(&GpuOptions { unchecked_buffers: true, ..Default::default() }).unwrap();
    let (x, y) = (gpu.buffer("x", 64).unwrap(), gpu.buffer("y", 64).unwrap());
    let error = record_outside(&gpu, &x, &y).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Shader);
    let said = error.to_string();
    assert!(said.contains("outside") && said.contains("GpuOptions::unchecked_buffers"), "{said}");
    assert!(gpu.with_checked_shaders().is_err());
}

/// Kernels of a caller's device with and without checks, one of each family of attention and products.
#[test]
fn checked_handles_give_the_same_bits() {
    let (device, queue) = plain_device();
    let gpu = Gpu::from_device(&device, &queue);
    let checked = gpu.with_checked_shaders().unwrap();
    for name in ["attention_forward_tiled", "linear_product_scalar", "norm_forward_scalar", "categorical_sample"] {
        let case = (kernels::find(name).unwrap().cases)(&gpu).swap_remove(1);
        assert_eq!(case.run(&gpu).unwrap(), case.run(&checked).unwrap(), "{name}");
    }
}

#[test]
fn a_device_with_exactly_what_is_required_is_that_of_this_crate() {
    let adapter = adapter();
    let (required_features, required_limits) = Gpu::required(&adapter);
    let descriptor =
        wgpu::DeviceDescriptor { required_features, required_limits: required_limits.clone(), ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let (gpu, own) = (Gpu::from_device(&device, &queue), Gpu::new().unwrap());
    assert_eq!((gpu.features(), gpu.limits()), (required_features, &required_limits));
    if own.info() == gpu.info() {
        assert_eq!((own.features(), own.limits()), (gpu.features(), gpu.limits()));
        assert_eq!(own.subgroup_size(), gpu.subgroup_size());
    }
    for name in ["linear_product", "attention_forward", "probe_shuffle"] {
        let Some(case) = (kernels::find(name).unwrap().cases)(&gpu).pop() else { continue };
        assert!(case.compare(&case.run(&gpu).unwrap()).iter().all(|compared| compared.passed()), "{name}");
    }
}

/// Errors of the application's own commands, and the loss of its device, with handlers that it has installed.
#[test]
fn handlers_of_the_caller_are_called_and_this_crate_returns_its_own_errors() {
    let (device, queue) = plain_device();
    let uncaptured = Arc::new(AtomicUsize::new(0));
    let count = uncaptured.clone();
    device.on_uncaptured_error(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let lost = Arc::new(Mutex::new(None));
    let reason = lost.clone();
    device.set_device_lost_callback(move |why, _| *reason.lock().unwrap() = Some(why));

    let gpu = Gpu::from_device(&device, &queue);
    let x = gpu.upload("x", &RandomInputs::new(1).floats(64)).unwrap();
    // An error of the application: a copy out of bounds.
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(x.wgpu(), 0, x.wgpu(), 1 << 20, 4);
    queue.submit([encoder.finish()]);
    assert!(uncaptured.load(Ordering::SeqCst) >= 1);
    gpu.wait(None).unwrap();
    // An error of this crate is returned and does not reach the handler.
    let before = uncaptured.load(Ordering::SeqCst);
    let broken = Kernel::new(KernelSource { source: "fn main() { return 1u; }", ..*OUTSIDE });
    let launch = Launch {
        kernel: &broken,
        spec: &[],
        bindings: &[],
        params: &[],
        groups: Groups::Fixed(1),
        cost: Cost::default(),
        shape: String::new(),
    };
    assert_eq!(Plan::new(&gpu).launch(&launch).unwrap_err().kind(), ErrorKind::Shader);
    assert!(gpu.buffer("huge", u64::MAX / 8).is_err());
    assert_eq!(uncaptured.load(Ordering::SeqCst), before);

    // The loss of the device reaches both.
    assert!(!gpu.is_lost() && lost.lock().unwrap().is_none());
    device.destroy();
    let error = x.read::<f32>(&gpu, 64).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    assert!(error.to_string().contains("device was lost"), "{error}");
    assert!(gpu.is_lost());
    assert_eq!(*lost.lock().unwrap(), Some(wgpu::DeviceLostReason::Destroyed));
}

/// Whether an error is one line for people who know buffers and devices, not shaders.
fn is_clear(error: &ketformer::Error) -> bool {
    let said = error.to_string();
    !said.contains('\n') && !said.contains("WGSL") && !said.contains("constant") && said.contains("; use")
}

/// Every kernel that takes f16, with buffers of f16 on a device that was opened without it.
#[test]
fn f16_on_a_device_without_it_is_one_clear_error() {
    let whole = Gpu::new().unwrap();
    if !whole.features().contains(wgpu::Features::SHADER_F16) {
        return;
    }
    let required_features = whole.features() - wgpu::Features::SHADER_F16;
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter().request_device(&descriptor)).unwrap();
    let plain = Gpu::from_device(&device, &queue);
    let takes_half = |entry: &&kernels::Entry| {
        entry.kernel().spec_constants().unwrap().iter().any(|constant| constant.name.ends_with("_BITS"))
    };
    let mut refused = 0;
    for entry in kernels::ALL.iter().filter(takes_half) {
        let has_half = |values: &Values| matches!(values, Values::F16(_));
        let cases = (entry.cases)(&whole).into_iter();
        let halves = cases.filter(|case| case.inputs.iter().any(|(_, values)| has_half(values)));
        for case in halves.take(2) {
            let error = case.run_unpadded(&plain).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Adapter, "{error}");
            assert!(is_clear(&error) && error.to_string().contains("SHADER_F16"), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 20, "only {refused} cases");
}

#[test]
fn a_buffer_of_the_other_element_type_is_one_clear_error() {
    let gpu = Gpu::new().unwrap();
    let f16 = gpu.features().contains(wgpu::Features::SHADER_F16);
    let buffer = |name: &str| gpu.buffer(name, 1 << 10).unwrap().view();
    let whole = || AttentionBackward {
        qkv: buffer("qkv"),
        out: buffer("out"),
        lse: buffer("lse"),
        d_out: buffer("d_out"),
        delta: buffer("delta"),
        d_qkv: buffer("d_qkv"),
    };
    let shape = AttentionShape { b: 1.into(), t: 8, h: 1, d: 4, ..Default::default() };
    whole().record(&mut Plan::new(&gpu), &shape).unwrap();
    let half = AttentionBackward { qkv: buffer("peers").stored_as(DType::F16), ..whole() };
    let error = half.record(&mut Plan::new(&gpu), &shape).unwrap_err();
    assert_eq!(error.kind(), if f16 { ErrorKind::Shape } else { ErrorKind::Adapter });
    assert!(is_clear(&error) && error.to_string().contains("(`peers`) holds f16"), "{error}");
}
