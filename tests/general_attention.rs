//! General attention in buffers of an application: forward and backward passes in its encoder, against the references.

use ketformer::gpu::{DType, Gpu, Plan, View};
use ketformer::kernels::RandomInputs;
use ketformer::kernels::attention::general::{
    BiasStrides, GeneralBackward, GeneralForward, GeneralInputs, GeneralScores, GeneralShape, Layout, Layouts,
    ScoresOf, Strides, general_backward_reference, general_forward_reference, general_scores_reference,
};
use ketformer::{ErrorKind, wgpu};

/// A device with WebGPU's default limits and `features`.
fn device(required_features: wgpu::Features) -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap()
}

/// Buffers of an application on its device, of one element type.
struct Application {
    gpu: Gpu,
    storage: DType,
}

impl Application {
    fn buffer(&self, elements: u64, storage: DType) -> View {
        let buffer = self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: (elements * storage.bytes()).next_multiple_of(4).max(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        View::from(&buffer).stored_as(storage)
    }

    /// A buffer of `values`, and the values that it holds.
    fn input(&self, values: &[f32]) -> (View, Vec<f64>) {
        let view = self.buffer(values.len() as u64, self.storage);
        if self.storage == DType::F32 {
            view.write(&self.gpu, values).unwrap();
            return (view, values.iter().map(|value| f64::from(*value)).collect());
        }
        let mut halves: Vec<half::f16> = values.iter().map(|value| half::f16::from_f32(*value)).collect();
        let held = halves.iter().map(|half| half.to_f64()).collect();
        halves.resize(halves.len().next_multiple_of(2), half::f16::ZERO);
        view.write(&self.gpu, &halves.iter().map(|half| half.to_bits()).collect::<Vec<u16>>()).unwrap();
        (view, held)
    }

    fn read(&self, view: &View, elements: usize) -> Vec<f64> {
        if view.storage() == DType::F32 {
            return view.read::<f32>(&self.gpu, elements).unwrap().into_iter().map(f64::from).collect();
        }
        let halves: Vec<u16> = view.read(&self.gpu, elements).unwrap();
        halves.into_iter().map(|bits| half::f16::from_bits(bits).to_f64()).collect()
    }
}

/// Largest difference, relative to the largest element; NaN is infinite.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest: f64, value| largest.max(value.abs()));
    let of = |(a, b): (&f64, &f64)| if a.is_nan() { f64::INFINITY } else { (a - b).abs() / largest };
    found.iter().zip(expected).map(of).fold(0.0, f64::max)
}

/// Cross attention of grouped heads with a window and a bias, and causal attention in thirds of a fused buffer's rows.
fn shapes() -> [GeneralShape; 2] {
    let cross = GeneralShape { samples: 2, queries: 9, keys: 21, heads: 6, width: 12, ..Default::default() };
    let masked = GeneralShape { key_heads: Some(2), keys_before: Some(4), past: 7, softcap: Some(3.0), ..cross };
    let bias = BiasStrides { sample: 9 * 21, query: 21, head: 0 };
    let cross = GeneralShape { bias, value_width: Some(7), layouts: Layout::HeadFirst.into(), ..masked };
    let (t, h, d) = (40, 3, 8);
    let third =
        |third| Layout::Strided(Strides { offset: third * h * d, sample: t * 3 * h * d, position: 3 * h * d, head: d });
    let layouts = Layouts { q: third(0), k: third(1), v: third(2), out: Layout::BatchFirst };
    let fused = GeneralShape { samples: 2, queries: t, keys: t, heads: h, width: d, layouts, ..Default::default() };
    [cross, GeneralShape { keys_after: Some(0), ..fused }]
}

fn passes_agree(gpu: &Gpu, storage: DType, tolerance: f64) {
    let application = Application { gpu: gpu.clone(), storage };
    for (shape, is_biased) in shapes().into_iter().zip([true, false]) {
        let mut random = RandomInputs::new(11);
        let [of_q, of_k, of_v, of_out] = shape.elements();
        let mut input = |elements: u64| application.input(&random.floats(elements as usize));
        let [(q, q_held), (k, k_held), (v, v_held), (d_out, d_held)] = [of_q, of_k, of_v, of_out].map(&mut input);
        let bias: Vec<f32> = random.floats(shape.bias_elements() as usize);
        let bias_held: Vec<f64> = bias.iter().map(|value| f64::from(*value)).collect();
        let view = gpu.upload("bias", &bias).unwrap().view();
        let made = |elements| application.buffer(elements, storage);
        let backward = GeneralBackward {
            q,
            k,
            v,
            bias: is_biased.then_some(view),
            key_counts: None,
            out: made(of_out),
            lse: application.buffer(shape.rows(), DType::F32),
            d_out,
            statistics: application.buffer(2 * shape.rows(), DType::F32),
            d_q: made(of_q),
            d_k: made(of_k),
            d_v: made(of_v),
        };
        let pairs = shape.rows() * u64::from(shape.keys);
        let GeneralBackward { q, k, bias, lse, .. } = backward.clone();
        let maps = GeneralScores { q, k, bias, key_counts: None, lse, score: application.buffer(pairs, DType::F32) };
        let mut plan = Plan::new(gpu);
        backward.forward().record(&mut plan, &shape).unwrap();
        maps.record(&mut plan, &shape, ScoresOf::Probabilities).unwrap();
        backward.record(&mut plan, &shape).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        plan.replay(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue().submit([encoder.finish()]);

        let bias = is_biased.then_some(&bias_held[..]);
        let inputs = GeneralInputs { q: &q_held, k: &k_held, v: &v_held, bias, key_counts: None };
        let (out, _) = general_forward_reference(&inputs, &shape);
        let gradients = general_backward_reference(&inputs, &d_held, &shape);
        let probabilities = general_scores_reference(&inputs, &shape, ScoresOf::Probabilities);
        for (name, view, expected) in [
            ("out", &backward.out, out),
            ("score", &maps.score, probabilities),
            ("d_q", &backward.d_q, gradients.d_q),
            ("d_k", &backward.d_k, gradients.d_k),
            ("d_v", &backward.d_v, gradients.d_v),
        ] {
            let error = error(&application.read(view, expected.len()), &expected);
            assert!(error < tolerance, "{name} {storage:?} {shape:?}: {error:e}");
        }
    }
}

#[test]
fn passes_agree_with_the_references_on_a_plain_device() {
    let (device, queue) = device(wgpu::Features::empty());
    passes_agree(&Gpu::from_device(&device, &queue), DType::F32, 1e-5);
}

/// The variants that GPUs select.
#[test]
fn tiled_passes_agree_with_the_references() {
    let (device, queue) = device(wgpu::Features::empty());
    passes_agree(&Gpu::from_device(&device, &queue).with_variant("tiled"), DType::F32, 1e-5);
}

/// Records decoding steps of two layers, which share scratch, over caches of `samples` samples. Returns their outputs after
/// a comparison with the reference.
fn decoded(gpu: &Gpu, samples: u32) -> [Vec<f64>; 2] {
    let application = Application { gpu: gpu.clone(), storage: DType::F32 };
    let cache = GeneralShape { samples, queries: 1, keys: 1500, heads: 6, width: 80, ..Default::default() };
    let layouts = Layout::HeadFirst.into();
    let shape = GeneralShape { key_heads: Some(2), keys_after: Some(0), past: 1400, layouts, ..cache };
    let mut plan = Plan::new(gpu);
    let layers = [5, 6].map(|seed| {
        let mut random = RandomInputs::new(seed);
        let [of_q, of_k, of_v, of_out] = shape.elements();
        // The first sample is the same for any number of samples.
        let mut input = |elements: u64| {
            let first = random.floats(elements as usize / samples as usize);
            application.input(&first.repeat(samples as usize))
        };
        let [(q, q_held), (k, k_held), (v, v_held)] = [of_q, of_k, of_v].map(&mut input);
        let out = application.buffer(of_out, DType::F32);
        let lse = application.buffer(shape.rows(), DType::F32);
        let forward = GeneralForward { q, k, v, bias: None, key_counts: None, out, lse };
        forward.record(&mut plan, &shape).unwrap();
        let inputs = GeneralInputs { q: &q_held, k: &k_held, v: &v_held, bias: None, key_counts: None };
        (forward.out, general_forward_reference(&inputs, &shape).0)
    });
    plan.run().unwrap();
    layers.map(|(out, expected)| {
        let found = application.read(&out, expected.len());
        let error = error(&found, &expected);
        assert!(error < 1e-5, "{samples}: {error:e}");
        found
    })
}

#[test]
fn decoding_over_a_long_cache_agrees_with_the_reference_and_does_not_depend_on_other_samples() {
    let (device, queue) = device(wgpu::Features::empty());
    let gpu = Gpu::from_device(&device, &queue).with_variant("split");
    let (one, several) = (decoded(&gpu, 1), decoded(&gpu, 3));
    for (one, several) in one.iter().zip(&several) {
        assert!(several.chunks(one.len()).all(|sample| sample == one), "other bits");
    }
}

#[test]
fn f16_passes_agree_with_the_references() {
    let own = Gpu::new().unwrap();
    if !own.features().contains(wgpu::Features::SHADER_F16) {
        return;
    }
    let (device, queue) = device(wgpu::Features::SHADER_F16);
    passes_agree(&Gpu::from_device(&device, &queue), DType::F16, 2e-3);
}

#[test]
fn buffers_of_different_types_are_one_clear_error() {
    let (device, queue) = device(wgpu::Features::empty());
    let application = Application { gpu: Gpu::from_device(&device, &queue), storage: DType::F32 };
    let [shape, _] = shapes();
    let view = |storage| application.buffer(1 << 12, storage);
    let of = |storage: DType| GeneralScores {
        q: view(DType::F32),
        k: view(storage),
        bias: None,
        key_counts: None,
        lse: view(DType::F32),
        score: view(DType::F32),
    };
    let record = |storage| of(storage).record(&mut Plan::new(&application.gpu), &shape, ScoresOf::Scores);
    record(DType::F32).unwrap();
    let error = record(DType::F16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Adapter);
    assert!(error.to_string().contains("binding `k`") && !error.to_string().contains('\n'), "{error}");
}
