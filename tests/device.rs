//! The `gpu` module as used by a caller: foreign devices, default limits, and errors.

use ketformer::gpu::{DType, Gpu, GpuOptions, Plan, Profile, View, adapters};
use ketformer::kernels::attention::{AttentionForward, AttentionShape, forward_reference};
use ketformer::kernels::device::probe::{LOAD_VECTORS, LoadKind, LoadShape, ProbeLoad};
use ketformer::kernels::linear::{
    Extra, GradientInto, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
};
use ketformer::kernels::{ALL, RandomInputs};
use ketformer::{ErrorKind, Lattice, Precision, Ptf, Rydberg, TrainConfig, Trainer, wgpu};

/// A device as a graphics program opens it: WebGPU's default limits, no features.
fn plain_device() -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap()
}

fn storage(device: &wgpu::Device, elements: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 4 * elements, usage, mapped_at_creation: false })
}

#[test]
fn kernels_run_in_the_encoder_of_a_plain_device() {
    let (device, queue) = plain_device();
    let gpu = Gpu::from_device(&device, &queue);
    assert_eq!(gpu.subgroup_size(), None, "a device without features has no subgroups");
    let (b, t, h, d) = (3, 5, 2, 4);
    let inputs = RandomInputs::new(7).floats((b * t * 3 * h * d) as usize);
    let (qkv, out, lse) = (storage(&device, 360), storage(&device, 120), storage(&device, 30));
    queue.write_buffer(&qkv, 0, bytemuck::cast_slice(&inputs));
    let mut plan = Plan::new(&gpu);
    let attention = AttentionForward { qkv: (&qkv).into(), out: (&out).into(), lse: (&lse).into() };
    let shape = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    attention.record(&mut plan, &shape).unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    plan.replay(&mut encoder.begin_compute_pass(&Default::default()));
    queue.submit([encoder.finish()]);
    let found: Vec<f32> = View::from(&out).read(&gpu, 120).unwrap();
    let wide: Vec<f64> = inputs.iter().map(|v| f64::from(*v)).collect();
    let (expected, _) = forward_reference(&wide, &shape);
    let error = found.iter().zip(&expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
    assert!(error < 1e-5, "{error}");
}

#[test]
fn every_kernel_of_a_plain_device_agrees_with_its_reference() {
    let (device, queue) = plain_device();
    let gpu = Gpu::from_device(&device, &queue);
    let mut run = 0;
    for entry in ALL {
        for case in (entry.cases)(&gpu).into_iter().take(2) {
            let words = case.run(&gpu).unwrap_or_else(|e| panic!("{} {}: {e}", entry.kernel().name, case.name));
            for measured in case.compare(&words) {
                assert!(measured.passed(), "{} {}: {measured:?}", entry.kernel().name, case.name);
            }
            run += 1;
        }
    }
    assert!(run > 20, "only {run} cases ran");
}

#[test]
fn training_runs_on_a_plain_device() {
    let (device, queue) = plain_device();
    let gpu = Gpu::from_device(&device, &queue);
    let model = Ptf { width: 16, heads: 4, feed_forward: 32, ..Ptf::default() };
    let config = TrainConfig { samples: 20, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&gpu, &Lattice::square(4, 4), &Rydberg::default(), &model, config).unwrap();
    for report in trainer.steps(3) {
        let report = report.unwrap();
        assert!(report.accepted && report.energy.is_finite());
    }
}

/// f16 is required by mixed precision only.
#[test]
fn mixed_precision_without_f16_says_what_would_do() {
    let (device, queue) = plain_device();
    let gpu = Gpu::from_device(&device, &queue);
    let model = Ptf { width: 16, heads: 4, feed_forward: 32, ..Ptf::default() };
    let config = TrainConfig { samples: 20, precision: Precision::Mixed, ..TrainConfig::default() };
    let trainer = Trainer::new(&gpu, &Lattice::square(4, 4), &Rydberg::default(), &model, config);
    let error = trainer.err().expect("a device without f16");
    assert_eq!(error.kind(), ErrorKind::Adapter);
    let said = error.to_string();
    assert!(said.contains("f16") && said.contains("single precision") && !said.contains('\n'), "{said}");
}

/// Elements of the wrong width are refused when the plan is built.
#[test]
fn a_view_of_another_width_is_refused() {
    let gpu = Gpu::new().unwrap();
    let buffer = |storage| gpu.buffer_of("x", 64, storage).unwrap().view();
    let product = LinearProduct {
        x: buffer(DType::F16),
        weight: buffer(DType::F16),
        bias: None,
        extra: Extra::None,
        y: buffer(DType::F32),
    };
    let record = |product: &LinearProduct| product.record(&mut Plan::new(&gpu), &LinearShape::forward(4, 4, 4));
    let error = record(&product).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(
        error.to_string().contains("binding `x`") && error.to_string().contains("holds f16, this launch expects f32"),
        "{error}"
    );
    record(&LinearProduct { x: buffer(DType::F32), ..product }).unwrap();
    // A range of f16 starts at a multiple of 128 elements and has half as many bytes.
    let view = gpu.buffer_of("x", 256, DType::F16).unwrap().view();
    assert_eq!(view.range("y", 128, 128).unwrap().bytes(), 256);
    assert!(view.range("y", 64, 64).is_err() && view.range("y", 128, 129).is_err());
}

fn product(gpu: &Gpu, rows: u32, x: &View, y: &View) -> ketformer::Result<()> {
    let weight = gpu.upload("weight", &[1f32; 16])?.view();
    let mut plan = Plan::new(gpu);
    let product = LinearProduct { x: x.clone(), weight, bias: None, extra: Extra::None, y: y.clone() };
    product.record(&mut plan, &LinearShape::forward(rows, 4, 4))
}

/// An accumulating sum detects launches that are missing, repeated or overlapping.
#[test]
fn repeated_launches_run_in_order_as_often_as_they_should() {
    let gpu = Gpu::new().unwrap();
    let buffer = |value: f32| gpu.upload("one", &[value]).unwrap();
    let (x, two, three, sum, bias) = (buffer(1.0), buffer(2.0), buffer(3.0), buffer(0.0), buffer(0.0));
    let part = gpu.buffer("part", 2).unwrap();
    let add = |plan: &mut Plan, d_y: &View| {
        let gradient =
            LinearGradient { x: x.view(), d_y: d_y.clone(), d_weight: sum.view(), d_bias: Some(bias.view()) };
        let shape = GradientShape { rows: 1.into(), inputs: 1, outputs: 1 };
        let sums = GradientSums::new(part.view(), GradientInto::Sum { keep: true });
        gradient.record(plan, &shape, &sums)?;
        sums.finish(plan)
    };
    let mut plan = Plan::new(&gpu);
    add(&mut plan, &two).unwrap();
    let once = plan.cost();
    plan.repeat(5000, |plan| add(plan, &three)).unwrap();
    add(&mut plan, &two).unwrap();
    plan.repeat(2, |plan| add(plan, &two)).unwrap();
    assert!((plan.cost().flops / once.flops - 5004.0).abs() < 1e-6);
    // More launches than fit in one submission.
    plan.run().unwrap();
    assert_eq!(sum.read::<f32>(&gpu, 1).unwrap(), [15_008.0]);
    sum.write(&gpu, &[0f32]).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    plan.replay(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
    assert_eq!(sum.read::<f32>(&gpu, 1).unwrap(), [15_008.0]);
    let error = plan.repeat(0, |plan| add(plan, &two)).unwrap_err();
    assert!(error.to_string().contains("at least once"), "{error}");
    let error = plan.repeat(2, |plan| plan.repeat(2, |plan| add(plan, &two))).unwrap_err();
    assert!(error.to_string().contains("do not nest"), "{error}");
}

/// Gradients of two layers with one input row each, d_y = (1, 2) and (10, 20), by launches of sums that depend on the
/// scratch and on the buffers of the gradients.
#[test]
fn sums_are_launched_before_their_scratch_is_reused() {
    let gpu = Gpu::new().unwrap();
    let x = gpu.upload("x", &[1.0f32, 3.0]).unwrap();
    let signals = [[1.0f32, 2.0], [10.0, 20.0]].map(|d_y| gpu.upload("d_y", &d_y).unwrap());
    let expected = [[1.0f32, 3.0, 2.0, 6.0], [10.0, 30.0, 20.0, 60.0]];
    // Scratch in floats, whether all gradients are in one buffer, number of launches of sums.
    for (room, shared, sums_launched) in [(70, true, 1), (69, true, 2), (6, true, 2), (70, false, 2), (6, false, 2)] {
        let scratch = gpu.buffer("scratch", room.max(6)).unwrap();
        let scratch = scratch.range("scratch", 0, room).unwrap();
        let one = gpu.buffer("gradient", 256).unwrap();
        let other =
            if shared { one.range("gradient", 128, 128).unwrap() } else { gpu.buffer("other", 128).unwrap().view() };
        let views = [one.range("first", 0, 128).unwrap(), other];
        let sums = GradientSums::new(scratch, GradientInto::REPLACE);
        let mut plan = Plan::new(&gpu);
        for (d_y, view) in signals.iter().zip(&views) {
            let d_weight = view.range("d_weight", 0, 4).unwrap();
            let d_bias = Some(view.range("d_bias", 64, 2).unwrap());
            let gradient = LinearGradient { x: x.view(), d_y: d_y.view(), d_weight, d_bias };
            let shape = GradientShape { rows: 1.into(), inputs: 2, outputs: 2 };
            gradient.record(&mut plan, &shape, &sums).unwrap();
        }
        sums.finish(&mut plan).unwrap();
        assert_eq!(plan.len(), 2 + sums_launched, "{room} {shared}");
        plan.run().unwrap();
        for (view, expected) in views.iter().zip(expected) {
            assert_eq!(view.read::<f32>(&gpu, 4).unwrap(), expected, "{room} {shared}");
            let bias = view.range("d_bias", 64, 2).unwrap();
            assert_eq!(bias.read::<f32>(&gpu, 2).unwrap(), [expected[0], expected[2]], "{room} {shared}");
        }
    }
}

#[test]
fn a_buffer_that_is_too_small_says_who_and_how_much() {
    let gpu = Gpu::new().unwrap();
    let (x, y) = (gpu.buffer("x", 40).unwrap(), gpu.buffer("y", 36).unwrap());
    let error = product(&gpu, 10, &x, &y).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let text = error.to_string();
    assert!(text.contains("binding `y`") && text.contains("144 bytes") && text.contains("needs 160"), "{text}");
}

#[test]
fn reading_and_writing_one_buffer_is_refused() {
    let gpu = Gpu::new().unwrap();
    let both = gpu.buffer("both", 1000).unwrap();
    let error = product(&gpu, 10, &both, &both).unwrap_err().to_string();
    assert!(error.contains("share buffer `both`"), "{error}");
    // Even disjoint ranges: a dispatch cannot read and write one buffer.
    let (head, tail) = (both.range("head", 0, 64).unwrap(), both.range("tail", 512, 64).unwrap());
    assert!(product(&gpu, 10, &head, &tail).is_err());
}

/// A uniform array requires a buffer with uniform usage that holds the whole array.
#[test]
fn uniform_arrays_are_bound_from_uniform_buffers() {
    let gpu = Gpu::new().unwrap();
    let x = gpu.upload("x", &[1f32; 4 * LOAD_VECTORS as usize]).unwrap();
    let y = gpu.buffer("y", 64).unwrap();
    let record = |constants: &View| {
        let load = ProbeLoad { x: x.view(), constants: constants.clone(), y: y.view() };
        let mut plan = Plan::new(&gpu);
        load.record(&mut plan, &LoadShape { lanes: 64, steps: 3, kind: LoadKind::UniformVec4 }).map(|()| plan)
    };
    let constants = gpu.upload_uniform("table", &vec![2f32; 8 * LOAD_VECTORS as usize]).unwrap();
    record(&constants).unwrap().run().unwrap();
    assert_eq!(y.read::<f32>(&gpu, 64).unwrap(), [2.0 * 4.0 * 8.0 * 3.0; 64]);
    record(&constants.range("table", 64, 4 * u64::from(LOAD_VECTORS)).unwrap()).unwrap().run().unwrap();
    for (view, words) in [
        (gpu.upload_uniform("short", &[2f32; 400]).unwrap().view(), ["`short`", "needs 16384"]),
        (x.view(), ["binding `constants`", "UNIFORM"]),
    ] {
        let error = record(&view).err().expect("no such binding");
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }
}

#[test]
fn ranges_lie_inside_and_are_aligned() {
    let gpu = Gpu::new().unwrap();
    let buffer = gpu.buffer("buffer", 256).unwrap();
    assert!(buffer.range("part", 64, 192).is_ok());
    assert_eq!(buffer.range("part", 64, 193).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(buffer.range("part", 32, 8).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn a_buffer_beyond_the_adapter_is_a_memory_error() {
    let gpu = Gpu::new().unwrap();
    for elements in [u64::MAX, u64::MAX / 8, gpu.limits().max_storage_buffer_binding_size] {
        let error = gpu.buffer("huge", elements).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
        assert!(error.to_string().contains("`huge`"), "{error}");
    }
}

#[test]
fn a_lost_device_is_an_error_and_no_panic() {
    let gpu = Gpu::new().unwrap();
    let (x, y) = (gpu.upload("x", &[1f32; 40]).unwrap(), gpu.buffer("y", 40).unwrap());
    let weight = gpu.upload("weight", &[1f32; 16]).unwrap().view();
    let mut plan = Plan::new(&gpu);
    let product = LinearProduct { x: x.view(), weight, bias: None, extra: Extra::None, y: y.view() };
    product.record(&mut plan, &LinearShape::forward(10, 4, 4)).unwrap();
    plan.run().unwrap();
    gpu.device().destroy();
    let outcome = plan.run().and_then(|()| y.read::<f32>(&gpu, 40));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Device);
}

#[test]
fn adapters_are_chosen_by_index_and_by_part_of_their_name() {
    let all = adapters();
    let first = &all[0];
    let open = |adapter: String| Gpu::with_options(&GpuOptions { adapter: Some(adapter), ..Default::default() });
    assert_eq!(open("0".into()).unwrap().info().name, first.info.name);
    let part = first.info.name.to_uppercase();
    assert_eq!(open(part[..4].into()).unwrap().info().name, first.info.name);
    let error = open("no such thing".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Adapter);
    assert!(error.to_string().contains(&first.info.name), "{error}");
}

/// Weights after two steps on a device with these options.
fn trained(options: &GpuOptions) -> ketformer::Result<Vec<u8>> {
    let gpu = Gpu::with_options(options)?;
    let model = Ptf { width: 16, heads: 4, feed_forward: 32, ..Ptf::default() };
    let config = TrainConfig { samples: 32, seed: 3, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&gpu, &Lattice::square(4, 4), &Rydberg::default(), &model, config)?;
    trainer.steps(2).try_for_each(|report| report.map(|_| ()))?;
    let file = tempfile::NamedTempFile::new().unwrap();
    trainer.weights()?.save(file.path())?;
    Ok(std::fs::read(file.path()).unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_without_bounds_checks_gives_the_same_bits() {
    let unchecked = GpuOptions { unchecked_buffers: true, ..GpuOptions::default() };
    assert!(trained(&unchecked).unwrap() == trained(&GpuOptions::default()).unwrap());
    let both = GpuOptions { checked_shaders: true, ..unchecked };
    assert!(trained(&both).unwrap_err().to_string().contains("unchecked_buffers"));
}

#[test]
fn a_device_with_the_defaults_of_webgpu_trains_without_subgroups() {
    let options = GpuOptions { webgpu_defaults: true, ..GpuOptions::default() };
    let gpu = Gpu::with_options(&options).unwrap();
    assert_eq!(*gpu.limits(), wgpu::Limits::default());
    assert!(gpu.features().is_empty() && gpu.least_subgroup_lanes().is_none());
    assert!(!trained(&options).unwrap().is_empty());
}

#[test]
fn a_profile_has_a_row_for_each_kernel_and_its_cost() {
    let gpu = Gpu::new().unwrap();
    let (x, y) = (gpu.upload("x", &[1f32; 40]).unwrap(), gpu.buffer("y", 40).unwrap());
    let weight = gpu.upload("weight", &[1f32; 16]).unwrap().view();
    let mut plan = Plan::new(&gpu);
    plan.scope("twice");
    let product = LinearProduct { x: x.view(), weight, bias: None, extra: Extra::None, y: y.view() };
    product.record(&mut plan, &LinearShape::forward(10, 4, 4)).unwrap();
    product.record(&mut plan, &LinearShape::forward(10, 4, 4)).unwrap();
    let rows = plan.profile(Profile { warmup: 1, runs: 3 }).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].scope, rows[0].launches, rows[0].cost.flops), ("twice", 2, 2.0 * 2.0 * 10.0 * 16.0));
    assert!(rows[0].median_ms > 0.0);
    assert!(plan.profile(Profile { warmup: 0, runs: 0 }).is_err());
}
