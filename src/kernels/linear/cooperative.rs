//! Product y = act(x Wᵀ + b) + e with cooperative matrices, for f16 weights.
//!
//! If an adapter supports them and the caller enables them ([`GpuOptions::cooperative_matrix`]), these kernels multiply
//! f16 fragments of 16 × 16 (most GPUs with Vulkan) or 8 × 8 (Metal) with sums in f32. x is cast to f16, and values
//! beyond ±65504 become infinite. The hardware chooses the order of the sums, so results are not bit-identical to those
//! of the other products.
//!
//! **Not tested on hardware.** No adapter with the feature was available. Indices, edges and the epilogue are tested
//! with emulated fragments. On a machine with the feature, run `ketformer doctor` and `ketformer bench matmul` to test
//! the fragments before trusting any result.
//!
//! The feature is experimental in wgpu, and naga supports it for Vulkan and Metal only. For Vulkan, naga 30 declares
//! the Vulkan memory model, but neither marks accesses of workgroup memory as `NonPrivatePointer` nor gives barriers
//! `MakeAvailable` and `MakeVisible`. Strictly, values staged by one invocation need not be visible to another, and a
//! driver that relies on this gives wrong results.
//!
//! [`LinearProduct`] with f16 weights uses these kernels only if the device was opened with the feature.
//!
//! [`GpuOptions::cooperative_matrix`]: crate::gpu::GpuOptions::cooperative_matrix

use super::product::with_epilogue;
use super::{Activation, Direction, LinearProduct, LinearShape, product_reference};
use crate::error::Result;
use crate::gpu::{DType, Gpu, Kernel, Plan};
use crate::kernels::nn::cast_f16::stored;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel};

static COOPERATIVE: Kernel = kernel!("linear", "linear_product_cooperative");
static COOPERATIVE_8: Kernel = kernel!("linear", "linear_product_cooperative_8");

pub(crate) const COOPERATIVE_ENTRY: Entry = Entry {
    kernel: &COOPERATIVE,
    summary: "y = act(x Wᵀ + b) + e from 16-bit weights, by cooperative matrices of 16 × 16",
    cases: |gpu| cases(gpu, 16),
};
pub(crate) const COOPERATIVE_8_ENTRY: Entry =
    Entry { kernel: &COOPERATIVE_8, summary: "the same by cooperative matrices of 8 × 8", cases: |gpu| cases(gpu, 8) };

/// Fragments that an adapter multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Number of rows and columns: 8 or 16.
    pub size: u32,
    /// Number of lanes of the subgroups that multiply them.
    pub lanes: u32,
}

/// Returns the adapter's fragments if a product with these widths can use them.
pub fn fragment(gpu: &Gpu, widths: [u32; 2]) -> Option<Fragment> {
    let lanes = gpu.subgroup_size()?;
    let limits = gpu.limits();
    let fits = [8, 16, 32, 64].contains(&lanes)
        && limits.max_compute_invocations_per_workgroup >= 4 * lanes
        && widths.iter().all(|width| width.is_multiple_of(4));
    gpu.cooperative_matrix().filter(|_| fits).map(|size| Fragment { size, lanes })
}

/// Records y = act(half(x) · M + bias) + extra for weights in f16 and `y` in f32.
///
/// # Errors
/// As [`Plan::launch`].
pub(super) fn record(product: &LinearProduct, plan: &mut Plan, shape: &LinearShape, fragment: Fragment) -> Result<()> {
    let kernel = if fragment.size == 16 { &COOPERATIVE } else { &COOPERATIVE_8 };
    record_kernel(product, plan, shape, fragment, kernel)
}

fn record_kernel(
    product: &LinearProduct,
    plan: &mut Plan,
    shape: &LinearShape,
    Fragment { size, lanes }: Fragment,
    kernel: &Kernel,
) -> Result<()> {
    let groups = shape.rows.groups(4 * size, shape.columns.div_ceil(4 * size).into());
    product.launch(plan, shape, kernel, groups, vec![("LANES", lanes)], Vec::new())
}

fn cases(gpu: &Gpu, size: u32) -> Vec<Case> {
    if fragment(gpu, [4, 4]).is_none_or(|fragment| fragment.size != size) {
        return Vec::new();
    }
    cases_of(&[(1, 4, 4), (64, 32, 64), (65, 36, 68), (131, 2048, 32), (70_000, 4, 4)], LinearProduct::record)
}

type Record = fn(&LinearProduct, &mut Plan, &LinearShape) -> Result<()>;

fn cases_of(shapes: &[(u32, u32, u32)], record: Record) -> Vec<Case> {
    let activations = [Activation::None, Activation::Relu, Activation::Tanh, Activation::Gelu];
    let mut cases = Vec::new();
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate() {
        for direction in [Direction::Forward, Direction::Backward] {
            for extra in 0..3 {
                let shape = LinearShape { direction, ..LinearShape::forward(rows, inner, columns) };
                cases.push(case(&shape.activated(activations[(i + extra) % 4]), extra, i % 3 != 1, record));
            }
        }
    }
    cases
}

fn case(shape: &LinearShape, extra: usize, with_bias: bool, record: Record) -> Case {
    let (rows, k, n) = (shape.rows.capacity as usize, shape.inner as usize, shape.columns as usize);
    let mut random = RandomInputs::new((rows * 31 + k * 7 + n) as u64);
    let (x, (exact_weight, weight)) = (random.floats(rows * k), stored(random.floats(n * k), DType::F16));
    let (bias, third) = (random.floats(n), random.floats(rows * n));
    let sums = product_reference(&stored(x.clone(), DType::F16).0, &exact_weight, with_bias.then_some(&bias), shape);
    let expected = with_epilogue(sums, &third, extra, shape.activation);
    let name = format!("({rows}, {k}, {n}) {:?} bias {with_bias} extra {extra}", (shape.direction, shape.activation));
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        record(&LinearProduct::of_case(buffers, with_bias, extra)?, plan, &shape)
    };
    Case {
        name,
        inputs: vec![("x", x.into()), ("weight", weight), ("bias", bias.into()), ("extra", third.into())],
        // The inputs of the reference are cast to f16 too. Matrix units may truncate the last bits of sums instead of
        // rounding.
        outputs: vec![("y", Expected::Near { values: expected, tolerance: 4e-6 * (1.0 + (k as f64).sqrt() / 4.0) })],
        record: Box::new(record),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// Emulated 8 × 8 fragments for adapters without them. An operand is its start index and its strides to the next
    /// row and column. A sum is one of its rows in each of eight lanes. Staging, strides, edges and epilogue are those
    /// of the kernel.
    const FRAGMENTS: &str = "
        alias Left = vec3<u32>;
        alias Right = vec3<u32>;
        alias Sum = array<f32, 8>;
        var<private> own_row: u32;
        // The loop bound is unknown to the driver; unrolled loops would take minutes to compile.
        fn eight() -> u32 { return min(8u, 8u * params.y_stride); }
        fn multiply_add(a: Left, b: Right, c: Sum) -> Sum {
            var sum = c;
            for (var k = 0u; k < eight(); k++) {
                let left = f32(x_tile[a.x + own_row * a.y + k * a.z]);
                for (var n = 0u; n < 8u; n++) { sum[n] = fma(left, f32(weight_tile[b.x + k * b.y + n * b.z]), sum[n]); }
            }
            return sum;
        }
        fn store(sum: Sum, start: u32, stride: u32) {
            for (var n = 0u; n < 8u; n++) { made[start + own_row * stride + n] = sum[n]; }
        }
    ";

    fn emulated() -> &'static Kernel {
        static EMULATED: OnceLock<Kernel> = OnceLock::new();
        EMULATED.get_or_init(|| {
            let fragment = |line: &&str| !line.starts_with("alias") && !line.contains("wgpu_cooperative_matrix");
            let own: Vec<&str> = COOPERATIVE_8.source.lines().filter(fragment).collect();
            let (_, body) = COOPERATIVE_8.shared.iter().find(|(name, _)| *name == "cooperative").unwrap();
            let mut text = own.join("\n").replace("#import cooperative", body) + FRAGMENTS;
            for (of, by) in [
                ("coopLoadT<Left>(&x_tile[", "Left(("),
                ("], X_STRIDE)", "), X_STRIDE, 1u)"),
                ("coopMultiplyAdd", "multiply_add"),
                ("coopStoreT(", "store("),
                (", &made[start]", ", start"),
                ("let lane = local % LANES;", "let lane = local % LANES;\n    own_row = lane;"),
            ] {
                assert!(text.contains(of), "{of}");
                text = text.replace(of, by);
            }
            let load = |line: &str| {
                let by_columns = line.replace("coopLoad<Right>(&weight_tile[", "Right((");
                let steps = if by_columns == line { "), WEIGHT_STRIDE, 1u)" } else { "), 1u, WEIGHT_STRIDE)" };
                by_columns.replace("coopLoadT<Right>(&weight_tile[", "Right((").replace("], WEIGHT_STRIDE)", steps)
            };
            let text = text.lines().map(load).collect::<Vec<_>>().join("\n");
            assert!(!["coop_", "coopLoad", "coopStore", "coopMul"].iter().any(|left| text.contains(left)), "{text}");
            Kernel { name: "emulated", source: text.leak(), shared: COOPERATIVE_8.shared }
        })
    }

    #[test]
    fn products_are_right_where_fragments_are_emulated() {
        let gpu = Gpu::new().unwrap();
        if !gpu.features().contains(wgpu::Features::SHADER_F16) {
            // The shader is still validated if the adapter has no f16.
            emulated().shader(&[]).unwrap();
            return;
        }
        let record = |product: &LinearProduct, plan: &mut Plan, shape: &LinearShape| {
            record_kernel(product, plan, shape, Fragment { size: 8, lanes: 8 }, emulated())
        };
        for case in cases_of(&[(33, 36, 36), (70, 100, 68)], record) {
            for measured in case.compare(&case.run(&gpu).unwrap()) {
                assert!(measured.passed(), "{}: {measured:?}", case.name);
            }
        }
    }

    #[test]
    fn a_device_that_was_not_asked_for_them_has_no_cooperative_matrices() {
        let gpu = Gpu::new().unwrap();
        if std::env::var("KETFORMER_COOPERATIVE_MATRIX").is_err() {
            assert_eq!(fragment(&gpu, [4, 4]), None);
        }
    }
}
