//! Test cases of [`crate::kernels::nn::cast_f16`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::nn::cast_f16::{CAST_F16, LARGEST, WeightsCastF16, cast_f16_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, Values};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &CAST_F16, summary: "casts each weight to the nearest f16, clamped to ±65504", cases };

/// Whether `gpu` can run cases with f16 buffers.
pub(crate) fn has_half(gpu: &Gpu) -> bool {
    gpu.features().contains(wgpu::Features::SHADER_F16)
}

/// Returns the values that a reference reads and the buffer that stores them as `storage`. References read the rounded
/// f16 values, so that tolerances are those of f32 sums.
pub(crate) fn stored(values: Vec<f32>, storage: DType) -> (Vec<f32>, Values) {
    match storage {
        DType::F32 => (values.clone(), values.into()),
        DType::F16 => {
            let halves = cast_f16_reference(&values);
            (halves.iter().map(|half| half.to_f32()).collect(), halves.into())
        }
    }
}

/// Expected f16 output of a kernel whose sums are within `tolerance`. Drivers may round to either neighbor.
pub(crate) fn near_half(values: Vec<f64>, tolerance: f64) -> Expected {
    let values = values.into_iter().map(|value| value.clamp(-f64::from(LARGEST), f64::from(LARGEST))).collect();
    Expected::NearHalf { values, tolerance: tolerance + 2f64.powi(-10) }
}

/// Values of both signs at and next to the limits of the f16 ranges and halfway between neighboring f16, and NaN.
fn edges() -> Vec<f32> {
    let mut edges = vec![f32::NAN, -f32::NAN, f32::from_bits(0x7fc1_2000), f32::INFINITY, -f32::INFINITY, f32::MAX];
    let ends = [0.0, f32::MIN_POSITIVE, 1e-40, 65504.0, 65519.9, 65520.0, 65536.0, 1e30];
    // Powers of two from below the smallest f16 to the largest, each followed by steps of a quarter of the local
    // spacing.
    let powers = (-27..16).flat_map(|power| {
        let power = 2f32.powi(power);
        let spacing = (power / 1024.0).max(2f32.powi(-24));
        (0..12).map(move |quarters| power + quarters as f32 * spacing / 4.0)
    });
    for value in ends.into_iter().chain(powers) {
        for bits in [value.to_bits().saturating_sub(1), value.to_bits(), value.to_bits() + 1] {
            edges.extend([f32::from_bits(bits), -f32::from_bits(bits)]);
        }
    }
    edges
}

fn cases(_: &Gpu) -> Vec<Case> {
    let mut random = RandomInputs::new(3);
    let any = random.integers(70_001, u32::MAX).into_iter().map(f32::from_bits).collect();
    [random.floats(1), random.floats(4), random.floats(1003), edges(), any].into_iter().map(case).collect()
}

fn case(values: Vec<f32>) -> Case {
    let elements = values.len() as u64;
    let halves: Vec<u16> = cast_f16_reference(&values).into_iter().map(half::f16::to_bits).collect();
    let words = halves.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 16);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let halves = buffers.view("halves")?.stored_as(DType::F16);
        WeightsCastF16::from_case(&buffers.with("halves", &halves))?.record(plan, elements)
    };
    Case {
        name: format!("({elements})"),
        // Passed as u32, so that NaN keeps its bits.
        inputs: vec![("values", values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>().into())],
        outputs: vec![("halves", Expected::Exactly(words.collect()))],
        record: Box::new(record),
    }
}
