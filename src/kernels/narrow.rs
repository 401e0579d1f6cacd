//! Weights as f16, for passes that store them so and compute in f32 all the same.
//!
//! ```text
//! narrow[i] = the f16 nearest to values[i], of two equally near the even one; beyond ±65504 it is ±65504
//! ```

use super::{Case, Entry, Expected, Named, RandomInputs, Values, kernel};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Groups, Kernel, Launch, Plan, Storage, View};

static NARROW: Kernel = kernel!("weights_narrow");

pub(super) const ENTRY: Entry =
    Entry { kernel: &NARROW, summary: "the nearest f16 of each weight, ±65504 at most", cases };

/// The largest number that f16 holds.
pub const LARGEST: f32 = 65504.0;

/// Narrows a flat buffer, see the module's page.
#[derive(Debug, Clone)]
pub struct WeightsNarrow {
    /// (elements)
    pub values: View,
    /// (elements) of [`Storage::Half`]
    pub narrow: View,
}

impl WeightsNarrow {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u64) -> Result<()> {
        let words = self.narrow.clone().stored_as(Storage::Word);
        plan.launch(&Launch {
            kernel: &NARROW,
            spec: &[],
            bindings: &[
                Bind { name: "values", view: &self.values, elements },
                Bind { name: "narrow", view: &words, elements: elements.div_ceil(2) },
            ],
            params: &[("elements", (elements as u32).into())],
            groups: Groups::Fixed(elements.div_ceil(4 * 64)),
            cost: Cost { flops: 0.0, bytes: 6.0 * elements as f64 },
            shape: format!("({elements})"),
        })
    }
}

/// The f16 of each value.
pub fn narrow_reference(values: &[f32]) -> Vec<half::f16> {
    let narrow =
        |value: &f32| half::f16::from_f32(if value.is_nan() { *value } else { value.clamp(-LARGEST, LARGEST) });
    values.iter().map(narrow).collect()
}

/// Whether `gpu` can run cases with f16 in buffers.
pub(super) fn has_half(gpu: &Gpu) -> bool {
    gpu.features().contains(wgpu::Features::SHADER_F16)
}

/// What a reference must read of `values` stored as `storage`, and the buffer that stores them: references read the very
/// numbers that f16 holds, so that tolerances stay those of f32 sums.
pub(super) fn stored(values: Vec<f32>, storage: Storage) -> (Vec<f32>, Values) {
    match storage {
        Storage::Word => (values.clone(), values.into()),
        Storage::Half => {
            let halves = narrow_reference(&values);
            (halves.iter().map(|half| half.to_f32()).collect(), halves.into())
        }
    }
}

/// `values` in a buffer of f16 by a kernel whose sums are good to `tolerance`: a driver rounds to either neighbour.
pub(super) fn near_half(values: Vec<f64>, tolerance: f64) -> Expected {
    let values = values.into_iter().map(|value| value.clamp(-f64::from(LARGEST), f64::from(LARGEST))).collect();
    Expected::NearHalf { values, tolerance: tolerance + 2f64.powi(-10) }
}

/// Numbers at and beside the ends of f16's ranges and halfway between its neighbours, of both signs, and NaN.
fn edges() -> Vec<f32> {
    let mut edges = vec![f32::NAN, -f32::NAN, f32::from_bits(0x7fc1_2000), f32::INFINITY, -f32::INFINITY, f32::MAX];
    let ends = [0.0, f32::MIN_POSITIVE, 1e-40, 65504.0, 65519.9, 65520.0, 65536.0, 1e30];
    // Powers of two from below the smallest f16 to the largest, then in steps of a quarter of the spacing there.
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
    let halves: Vec<u16> = narrow_reference(&values).into_iter().map(half::f16::to_bits).collect();
    let words = halves.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 16);
    let record = move |plan: &mut Plan, named: &Named| {
        let narrow = named.view("narrow")?.stored_as(Storage::Half);
        WeightsNarrow { values: named.view("values")?, narrow }.record(plan, elements)
    };
    Case {
        name: format!("({elements})"),
        // As words: what holds NaN is compared by its bits.
        inputs: vec![("values", values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>().into())],
        outputs: vec![("narrow", Expected::Exactly(words.collect()))],
        record: Box::new(record),
    }
}
