//! Variants of the kernels of general attention: tiles in workgroup memory for GPUs, wide heads and many keys; for CPUs,
//! where a tile of 32 × 64 pairs takes as long for a few of them, one query or key per invocation, and in the forward pass
//! clusters of lanes that exchange keys; and splits of the keys for the forward pass of few queries.

use super::super::class;
use super::{CLUSTER, GeneralShape, Strides, split};
use crate::gpu::Gpu;
use crate::kernels::device::probe::MOST_ITERATIONS;
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::is_default;
use crate::kernels::variant::{Selection, Variant, VariantSelector, Variants};

pub(crate) static FORWARD_SELECTOR: VariantSelector<GeneralShape> =
    selector("attention_general_forward", FORWARD_VARIANTS, forward_rule);
pub(crate) static BACKWARD_QUERY_SELECTOR: VariantSelector<GeneralShape> =
    selector("attention_general_backward_query", &[TILED, SCALAR], rule);
pub(crate) static BACKWARD_KEY_SELECTOR: VariantSelector<GeneralShape> =
    selector("attention_general_backward_key", &[TILED, SCALAR], rule);

/// Largest width of a head in the registers of an invocation.
const MOST_SCALAR_WIDTH: u32 = 64;

/// Floats of a lane of a cluster for its queries, and as many for their sums. Compilers of CPUs take half a minute for
/// wider heads, because the loops over them are unrolled.
const MOST_CLUSTER_FLOATS: u32 = 256;

/// Maximum number of queries of a head for which splits are the default. Tiles have 32.
const MOST_SPLIT_QUERIES: u32 = 8;

const FORWARD_VARIANTS: &[Variant] = &[TILED, SCALAR, SPLIT, CLUSTER1, CLUSTER2, CLUSTER4];
const CLUSTER1: Variant = Variant::subgroup("cluster1", 1, 1);
const CLUSTER2: Variant = Variant::subgroup("cluster2", 2, 1);
const CLUSTER4: Variant = Variant::subgroup("cluster4", 4, 1);
const TILED: Variant = Variant::tiled("tiled", 0).reduction_order(1);
const SCALAR: Variant = Variant::scalar("scalar", 1);
const SPLIT: Variant = Variant::tiled("split", 1).reduction_order(2).launching("attention_general_forward_split");

const fn selector(
    kernel: &'static str,
    all: &'static [Variant],
    rule: fn(&Gpu, &GeneralShape) -> Selection,
) -> VariantSelector<GeneralShape> {
    VariantSelector { variants: Variants { kernel, least_lanes: CLUSTER, all }, class: class_of, rule, requirement }
}

/// The wider one of queries and values.
fn widest(shape: &GeneralShape) -> u32 {
    shape.width.max(shape.value_width())
}

fn class_of(shape: &GeneralShape) -> String {
    let few = if shape.queries <= MOST_SPLIT_QUERIES { "few queries of " } else { "" };
    format!("{few}{}", class(shape.keys, widest(shape)))
}

/// Scalar on CPUs if compilation is short, or if most of a tile would be empty.
fn rule(gpu: &Gpu, shape: &GeneralShape) -> Selection {
    let pays = widest(shape) <= 32 || shape.queries.min(shape.keys) < 16;
    if is_default(gpu) || !pays { (Strategy::Tiled, 0, 1) } else { (Strategy::Scalar, 1, 1) }
}

/// Splits for few queries: on GPUs if there are several splits, on CPUs if the scalar variant cannot run or leaves cores
/// idle.
fn forward_rule(gpu: &Gpu, shape: &GeneralShape) -> Selection {
    let pays = if is_default(gpu) {
        shape.splits(true) > 1
    } else {
        requirement(gpu, shape, &SCALAR).is_some() || leaves_cores_idle(shape)
    };
    let cluster = cluster_of(shape);
    let runs = |variant: &Variant| FORWARD_SELECTOR.unsupported_reason(gpu, shape, variant).is_none();
    if pays && shape.queries <= MOST_SPLIT_QUERIES {
        (Strategy::Tiled, 1, 1)
    } else if !is_default(gpu) && shape.queries >= CLUSTER && runs(&cluster) {
        (Strategy::Subgroup, cluster.tile, 1)
    } else {
        rule(gpu, shape)
    }
}

/// Variant of the clusters for a shape: four queries per lane if they fit into few registers and there are as many.
fn cluster_of(shape: &GeneralShape) -> Variant {
    match shape.queries.div_ceil(CLUSTER) {
        1 => CLUSTER1,
        2 | 3 => CLUSTER2,
        _ if widest(shape) > 64 => CLUSTER2,
        _ => CLUSTER4,
    }
}

/// Whether the queries of long and wide keys are a few workgroups of the scalar variant, and fill those of the splits. As
/// measured, both then take the same time per core; without that, splits take up to three times as long.
fn leaves_cores_idle(shape: &GeneralShape) -> bool {
    let fills = || shape.queries * (shape.heads / shape.key_heads()) >= split::MOST_ROWS;
    shape.rows() <= 8 * 64 && fills() && widest(shape) > 32 && shape.splits(true) >= 4
}

/// CPU drivers silently end a shader after 65,535 loop iterations. For a tile of 64 pairs they count fewer than
/// [`tile_iterations`], for a pair of the scalar variant one, because they unroll its other loops.
fn requirement(gpu: &Gpu, shape: &GeneralShape, variant: &Variant) -> Option<String> {
    // Pairs of an invocation that owns a query, and of one that owns a key.
    let pairs = shape.keys.max(shape.queries.saturating_mul(shape.heads / shape.key_heads()));
    let most_tiled = 64 * (MOST_ITERATIONS / tile_iterations(shape));
    let long = |most: u32| format!("at most {most} keys, and queries of a group of heads, got {pairs}");
    match variant.strategy {
        _ if *variant == SPLIT => split_requirement(gpu, shape),
        Strategy::Subgroup if aligned(shape).is_some() => aligned(shape),
        Strategy::Subgroup if variant.tile.max(2) * widest(shape) > MOST_CLUSTER_FLOATS => {
            Some(format!("heads of width {} at most, got {}", MOST_CLUSTER_FLOATS / variant.tile.max(2), widest(shape)))
        }
        Strategy::Subgroup if gpu.is_software() && shape.keys > MOST_ITERATIONS / 9 * 8 - 64 => {
            Some(format!("at most {} keys, got {}", MOST_ITERATIONS / 9 * 8 - 64, shape.keys))
        }
        Strategy::Scalar if widest(shape) > MOST_SCALAR_WIDTH => {
            Some(format!("heads of width {MOST_SCALAR_WIDTH} at most, got {}", widest(shape)))
        }
        Strategy::Scalar if pairs > MOST_ITERATIONS - 64 => Some(long(MOST_ITERATIONS - 64)),
        Strategy::Tiled if gpu.is_software() && pairs > most_tiled => Some(long(most_tiled)),
        _ => None,
    }
}

/// Requirement that not all rows consist of whole vectors of four elements.
fn aligned(shape: &GeneralShape) -> Option<String> {
    let of_rows = |Strides { offset, sample, position, head }| [offset, sample, position, head];
    let sizes = [shape.width, shape.value_width()].into_iter().chain(shape.strides().into_iter().flat_map(of_rows));
    let odd = sizes.into_iter().find(|size| !size.is_multiple_of(4))?;
    Some(format!("widths and strides that are each a multiple of 4, got {odd}"))
}

/// Scratch within a binding and, on CPUs, few enough splits for an invocation of the merge.
fn split_requirement(gpu: &Gpu, shape: &GeneralShape) -> Option<String> {
    let [part, part_sum] = shape.split_elements(true);
    let elements = part.max(part_sum);
    let most = (gpu.limits().max_storage_buffer_binding_size / 4).min(u32::MAX.into());
    if elements > most {
        return Some(format!("scratch of at most {most} elements, got {elements}"));
    }
    let (seen, most) = (shape.most_seen(), MOST_ITERATIONS / split::MERGE_ITERATIONS * split::MERGE_KEYS);
    (gpu.is_software() && seen > most).then(|| format!("at most {most} keys that queries of a sample see, got {seen}"))
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
    use crate::gpu::{GpuFigures, GpuOptions};

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
        assert_eq!(taken(&gpu, shape(64, 16)).unwrap(), "cluster4");
        assert_eq!(taken(&gpu, shape(64, 17)).unwrap(), "scalar");
        assert_eq!(taken(&gpu, shape(64, 100)).unwrap(), "cluster2");
        assert_eq!(taken(&gpu, shape(64, 101)).unwrap(), "tiled");
        assert_eq!(taken(&gpu, shape(50_000, 64)).unwrap(), "cluster4");
        assert_eq!(taken(&gpu, shape(55_000, 64)).unwrap(), "scalar");
        assert_eq!(taken(&gpu, shape(100_000, 256)).unwrap(), "split");
        // Without subgroups, as in browsers.
        let plain = Gpu::with_options(&GpuOptions { webgpu_defaults: true, ..GpuOptions::default() }).unwrap();
        assert_eq!(taken(&plain, shape(64, 16)).unwrap(), "scalar");
        assert_eq!(taken(&plain, shape(64, 100)).unwrap(), "tiled");
        let error = BACKWARD_QUERY_SELECTOR.take(&gpu, &shape(100_000, 256)).unwrap_err().to_string();
        assert!(error.contains("tiled requires at most 12608 keys") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn few_queries_of_many_keys_take_splits() {
        let decode = |keys, width| GeneralShape {
            samples: 1,
            queries: 1,
            keys,
            heads: 32,
            key_heads: Some(8),
            width,
            ..Default::default()
        };
        let gpu = Gpu::new().unwrap();
        let taken = |gpu: &Gpu, shape: &GeneralShape| FORWARD_SELECTOR.take(gpu, shape).map(|variant| variant.name);
        let window = GeneralShape { keys_before: Some(100), keys_after: Some(0), ..decode(4096, 128) };
        let many = GeneralShape { queries: MOST_SPLIT_QUERIES + 1, ..decode(4096, 128) };
        let planned = Gpu::planning(&GpuFigures::ALL[0]).unwrap();
        for (shape, name) in
            [(decode(128, 128), "tiled"), (decode(129, 128), "split"), (window, "tiled"), (many, "tiled")]
        {
            assert_eq!(taken(&planned, &shape).unwrap(), name, "{shape:?}");
        }
        let wide = GeneralShape { samples: 1 << 12, queries: 8, ..decode(1 << 16, 256) };
        assert!(split_requirement(&planned, &wide).unwrap().contains("scratch"));
        assert_eq!(taken(&planned, &wide).unwrap(), "tiled");
        if gpu.is_software() {
            for (shape, name) in [
                (decode(4096, 64), "split"),
                (decode(4096, 32), "scalar"),
                (decode(256, 64), "scalar"),
                (GeneralShape { key_heads: None, ..decode(4096, 64) }, "scalar"),
                (GeneralShape { samples: 17, ..decode(4096, 64) }, "scalar"),
                (decode(70_000, 64), "split"),
                (decode(64, 128), "split"),
                (decode(1 << 20, 64), "split"),
            ] {
                assert_eq!(taken(&gpu, &shape).unwrap(), name, "{shape:?}");
            }
            let error = split_requirement(&gpu, &GeneralShape { samples: 1, ..decode(1 << 23, 1) }).unwrap();
            assert!(error.contains("keys that queries of a sample see"), "{error}");
        }
    }
}
