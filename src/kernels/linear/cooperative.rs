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
//! [`super::LinearProduct`] with f16 weights uses these kernels only if the device was opened with the feature.
//!
//! [`GpuOptions::cooperative_matrix`]: crate::gpu::GpuOptions::cooperative_matrix

use crate::gpu::{Gpu, Kernel};
use crate::kernels::kernel;

pub(super) static COOPERATIVE: Kernel = kernel!("linear", "linear_product_cooperative");
pub(super) static COOPERATIVE_8: Kernel = kernel!("linear", "linear_product_cooperative_8");

/// Fragments that an adapter multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Number of rows and columns: 8 or 16.
    pub(crate) size: u32,
    /// Number of lanes of the subgroups that multiply them.
    pub(crate) lanes: u32,
}

impl Fragment {
    /// Kernel that multiplies these fragments.
    pub(super) fn kernel(&self) -> &'static Kernel {
        if self.size == 16 { &COOPERATIVE } else { &COOPERATIVE_8 }
    }
}

/// Returns the adapter's fragments if a product with these widths can use them.
pub(crate) fn fragment(gpu: &Gpu, widths: [u32; 2]) -> Option<Fragment> {
    let lanes = gpu.subgroup_size()?;
    let limits = gpu.limits();
    let fits = [8, 16, 32, 64].contains(&lanes)
        && limits.max_compute_invocations_per_workgroup >= 4 * lanes
        && widths.iter().all(|width| width.is_multiple_of(4));
    gpu.cooperative_matrix().filter(|_| fits).map(|size| Fragment { size, lanes })
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::gpu::{KernelSource, Plan};
    use crate::kernels::linear::cases::cooperative::cases_of;
    use crate::kernels::linear::{LinearProduct, LinearShape};

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
            Kernel::new(KernelSource { name: "emulated", source: text.leak(), shared: COOPERATIVE_8.shared })
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
            product.record_cooperative(plan, shape, Fragment { size: 8, lanes: 8 }, emulated())
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
