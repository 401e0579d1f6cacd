//! Buffers of a caller that hold exactly what a kernel accesses, without the padding of `Gpu::buffer`: what a plan
//! records can be replayed, and what is too small is an error when it is recorded. `tests/kernels.rs` compares results in
//! such buffers with references.

use ketformer::gpu::{Access, Bind, Cost, Gpu, Groups, Kernel, Launch, Param, Plan, View};
use ketformer::kernels::ALL;
use ketformer::kernels::attention::{AttentionForward, AttentionShape};
use ketformer::{Error, ErrorKind, wgpu};

/// A device without hardware, which validates commands and does not run them.
fn validating_device() -> (wgpu::Device, wgpu::Queue) {
    let backend = wgpu::BackendOptions { noop: wgpu::NoopBackendOptions::enabled(), ..Default::default() };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::NOOP,
        backend_options: backend,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16),
        required_limits: adapter.limits(),
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap()
}

fn buffer(device: &wgpu::Device, bytes: u64, usage: wgpu::BufferUsages) -> View {
    let usage = usage | wgpu::BufferUsages::COPY_DST;
    View::from(&device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage,
        mapped_at_creation: false,
    }))
}

/// Encodes the plan and returns the error of the device.
fn replayed(device: &wgpu::Device, plan: &Plan) -> Option<wgpu::Error> {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let mut encoder = device.create_command_encoder(&Default::default());
    plan.replay(&mut encoder.begin_compute_pass(&Default::default()));
    drop(encoder.finish());
    pollster::block_on(scope.pop())
}

/// Number of bytes that the error of a launch requires for the binding that it names.
fn required(error: &Error) -> (String, u64) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Shape, "{text}");
    let name = text.split('`').nth(1).expect("the name of a binding").to_string();
    let bytes = text.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number of bytes");
    (name, bytes)
}

#[test]
fn attention_to_a_single_element_is_checked_when_it_is_recorded() {
    let (device, queue) = validating_device();
    let gpu = Gpu::from_device(&device, &queue);
    let of = |bytes| buffer(&device, bytes, wgpu::BufferUsages::STORAGE);
    let record = |qkv| {
        let attention = AttentionForward { qkv, out: of(4), lse: of(4) };
        let mut plan = Plan::new(&gpu);
        attention
            .record(&mut plan, &AttentionShape { b: 1.into(), t: 1, h: 1, d: 1, causal: true, ..Default::default() })
            .map(|()| replayed(&device, &plan))
    };
    let error = record(of(12)).unwrap_err();
    assert!(error.to_string().contains("holds 12 bytes") && required(&error).1 == 16, "{error}");
    assert!(record(of(16)).unwrap().is_none());
}

/// Launches `kernel` with `elements` elements in every binding, in buffers that are enlarged as its errors require.
/// Returns the number of enlarged buffers.
fn launched(device: &wgpu::Device, gpu: &Gpu, kernel: &Kernel, elements: u64) -> usize {
    let reflection = kernel.shader(&[]).unwrap().reflection;
    let params: Vec<(&str, Param)> = reflection
        .params
        .iter()
        .map(|(name, _, is_float)| (name.as_str(), if *is_float { Param::F32(0.0) } else { Param::U32(1) }))
        .collect();
    let usage = |access: &Access| match access {
        Access::Uniform(_) => wgpu::BufferUsages::UNIFORM,
        Access::Read | Access::Write => wgpu::BufferUsages::STORAGE,
    };
    let own = reflection.bindings.iter();
    let mut views: Vec<(&str, wgpu::BufferUsages, View)> = own
        .map(|(_, name, access)| (name.as_str(), usage(access), buffer(device, 4 * elements, usage(access))))
        .collect();
    for enlarged in 0..=views.len() {
        let bindings: Vec<Bind<'_>> = views.iter().map(|(name, _, view)| Bind { name, view, elements }).collect();
        let mut plan = Plan::new(gpu);
        let recorded = plan.launch(&Launch {
            kernel,
            spec: &[],
            bindings: &bindings,
            params: &params,
            groups: Groups::Fixed(1),
            cost: Cost::default(),
            shape: format!("({elements})"),
        });
        match recorded {
            Ok(()) => {
                let failure = replayed(device, &plan);
                assert!(failure.is_none(), "{} with {elements} elements: {failure:?}", kernel.name);
                return enlarged;
            }
            Err(error) => {
                let (name, bytes) = required(&error);
                let (_, usage, view) = views.iter_mut().find(|(own, ..)| *own == name).expect("a binding");
                assert!(bytes > view.bytes(), "{error}");
                *view = buffer(device, bytes, *usage);
            }
        }
    }
    panic!("{}: a buffer of the required size is refused", kernel.name);
}

#[test]
fn every_kernel_that_is_recorded_with_few_elements_can_be_replayed() {
    let (device, queue) = validating_device();
    let gpu = Gpu::from_device(&device, &queue);
    let (mut kernels, mut enlarged) = (0, 0);
    for entry in ALL.iter().filter(|entry| !entry.kernel().source.contains("enable wgpu_cooperative_matrix")) {
        for elements in 1..=3 {
            enlarged += launched(&device, &gpu, &entry.kernel(), elements);
        }
        kernels += 1;
    }
    assert!(kernels > 80 && enlarged > 100, "{enlarged} buffers of {kernels} kernels");
}
