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

const ALL: &[Variant] = &[Variant::scalar("scalar", 1), Variant::tiled("tiled", 0).reduction_order(1)];

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

fn requirement(_: &Gpu, shape: &GeneralShape, variant: &Variant) -> Option<String> {
    // Of an invocation that owns a query, and of one that owns a key.
    let iterations = shape.keys.max(shape.queries.saturating_mul(shape.heads / shape.key_heads()));
    match variant.strategy {
        Strategy::Scalar if widest(shape) > MOST_SCALAR_WIDTH => {
            Some(format!("heads of width {MOST_SCALAR_WIDTH} at most, got {}", widest(shape)))
        }
        Strategy::Scalar if iterations > MOST_ITERATIONS - 64 => {
            Some(format!("at most {} keys, and queries of a group of heads, got {iterations}", MOST_ITERATIONS - 64))
        }
        _ => None,
    }
}

/// Vectors of four elements of a row, for the constant of the scalar kernels: a power of two.
pub(super) fn parts(shape: &GeneralShape) -> u32 {
    widest(shape).div_ceil(4).next_power_of_two()
}
