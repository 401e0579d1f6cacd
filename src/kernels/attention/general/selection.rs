//! Variants of the kernels of general attention: tiles in workgroup memory for GPUs, wide heads and many keys, and one query
//! or key per invocation for CPUs, where a tile of 32 × 64 pairs takes as long for a few of them.

use super::super::class;
use super::GeneralShape;
use crate::gpu::Gpu;
use crate::kernels::device::probe::MOST_ITERATIONS;
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::is_default;
use crate::kernels::variant::{Selection, Variant, VariantSelector, Variants};

pub(crate) static FORWARD_SELECTOR: VariantSelector<GeneralShape> = selector("attention_general_forward");
pub(crate) static BACKWARD_QUERY_SELECTOR: VariantSelector<GeneralShape> = selector("attention_general_backward_query");
pub(crate) static BACKWARD_KEY_SELECTOR: VariantSelector<GeneralShape> = selector("attention_general_backward_key");

/// Largest width of a head in the registers of an invocation.
const MOST_SCALAR_WIDTH: u32 = 64;

const ALL: &[Variant] = &[Variant::tiled("tiled", 0).reduction_order(1), Variant::scalar("scalar", 1)];

const fn selector(kernel: &'static str) -> VariantSelector<GeneralShape> {
    VariantSelector { variants: Variants { kernel, least_lanes: 1, all: ALL }, class: class_of, rule, requirement }
}

/// The wider one of queries and values.
fn widest(shape: &GeneralShape) -> u32 {
    shape.width.max(shape.value_width())
}

fn class_of(shape: &GeneralShape) -> String {
    class(shape.keys, widest(shape))
}

/// Scalar on CPUs if compilation is short, or if most of a tile would be empty.
fn rule(gpu: &Gpu, shape: &GeneralShape) -> Selection {
    let pays = widest(shape) <= 32 || shape.queries.min(shape.keys) < 16;
    if is_default(gpu) || !pays { (Strategy::Tiled, 0, 1) } else { (Strategy::Scalar, 1, 1) }
}

/// CPU drivers silently end a shader after 65,535 loop iterations. For a tile of 64 pairs they count fewer than
/// [`tile_iterations`], for a pair of the scalar variant one, because they unroll its other loops.
fn requirement(gpu: &Gpu, shape: &GeneralShape, variant: &Variant) -> Option<String> {
    // Pairs of an invocation that owns a query, and of one that owns a key.
    let pairs = shape.keys.max(shape.queries.saturating_mul(shape.heads / shape.key_heads()));
    let most_tiled = 64 * (MOST_ITERATIONS / tile_iterations(shape));
    let long = |most: u32| format!("at most {most} keys, and queries of a group of heads, got {pairs}");
    match variant.strategy {
        Strategy::Scalar if widest(shape) > MOST_SCALAR_WIDTH => {
            Some(format!("heads of width {MOST_SCALAR_WIDTH} at most, got {}", widest(shape)))
        }
        Strategy::Scalar if pairs > MOST_ITERATIONS - 64 => Some(long(MOST_ITERATIONS - 64)),
        Strategy::Tiled if gpu.is_software() && pairs > most_tiled => Some(long(most_tiled)),
        _ => None,
    }
}

/// Upper bound of the loop iterations of a tile of 64 pairs, for each of the products over both widths. Measured on
/// lavapipe: 53 for heads 64 wide in the forward pass, 125 for 256.
fn tile_iterations(shape: &GeneralShape) -> u32 {
    48 + 2 * (shape.width.div_ceil(4) + shape.value_width().div_ceil(4))
}

/// Vectors of four elements of a row, for the constant of the scalar kernels: a power of two.
pub(super) fn parts(shape: &GeneralShape) -> u32 {
    widest(shape).div_ceil(4).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuFigures;

    #[test]
    fn cpus_take_tiles_for_wide_heads_and_refuse_loops_that_their_driver_ends() {
        let shape = |keys, width| GeneralShape { samples: 1, queries: 64, keys, heads: 1, width, ..Default::default() };
        let gpu = Gpu::new().unwrap();
        let taken = |gpu: &Gpu, shape| FORWARD_SELECTOR.take(gpu, &shape).map(|variant| variant.name);
        let planned = Gpu::planning(&GpuFigures::ALL[0]).unwrap();
        assert_eq!(taken(&planned, shape(100_000, 256)).unwrap(), "tiled");
        if !gpu.is_software() {
            return;
        }
        assert_eq!(taken(&gpu, shape(64, 16)).unwrap(), "scalar");
        assert_eq!(taken(&gpu, shape(64, 100)).unwrap(), "tiled");
        assert_eq!(taken(&gpu, shape(50_000, 64)).unwrap(), "scalar");
        let error = taken(&gpu, shape(100_000, 256)).unwrap_err().to_string();
        assert!(error.contains("tiled requires at most 12608 keys") && !error.contains('\n'), "{error}");
    }
}
