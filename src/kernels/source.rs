//! WGSL sources of kernels.

/// Declares a kernel by family and file name.
macro_rules! kernel {
    ($family:literal, $name:literal) => {
        $crate::gpu::Kernel {
            name: $name,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $family, "/", $name, ".wgsl")),
            shared: $crate::kernels::source::SHARED,
        }
    };
}
pub(crate) use kernel;

/// Files of shaders/shared, available to `#import`.
pub static SHARED: &[(&str, &str)] = &[
    ("activation", include_str!("../../shaders/shared/activation.wgsl")),
    ("attention_block", include_str!("../../shaders/shared/attention_block.wgsl")),
    ("cache", include_str!("../../shaders/shared/cache.wgsl")),
    ("cluster_memory", include_str!("../../shaders/shared/cluster_memory.wgsl")),
    ("cluster_subgroup", include_str!("../../shaders/shared/cluster_subgroup.wgsl")),
    ("columns", include_str!("../../shaders/shared/columns.wgsl")),
    ("compensated", include_str!("../../shaders/shared/compensated.wgsl")),
    ("complex_cosh", include_str!("../../shaders/shared/complex_cosh.wgsl")),
    ("connected", include_str!("../../shaders/shared/connected.wgsl")),
    ("cooperative", include_str!("../../shaders/shared/cooperative.wgsl")),
    ("epilogue", include_str!("../../shaders/shared/epilogue.wgsl")),
    ("dot_add", include_str!("../../shaders/shared/dot_add.wgsl")),
    ("draw", include_str!("../../shaders/shared/draw.wgsl")),
    ("exchange_scores", include_str!("../../shaders/shared/exchange_scores.wgsl")),
    ("feature", include_str!("../../shaders/shared/feature.wgsl")),
    ("finite", include_str!("../../shaders/shared/finite.wgsl")),
    ("gram", include_str!("../../shaders/shared/gram.wgsl")),
    ("grid", include_str!("../../shaders/shared/grid.wgsl")),
    ("head", include_str!("../../shaders/shared/head.wgsl")),
    ("head_tile", include_str!("../../shaders/shared/head_tile.wgsl")),
    ("key_tile", include_str!("../../shaders/shared/key_tile.wgsl")),
    ("load", include_str!("../../shaders/shared/load.wgsl")),
    ("load_changed", include_str!("../../shaders/shared/load_changed.wgsl")),
    ("load_slope", include_str!("../../shaders/shared/load_slope.wgsl")),
    ("log_cosh", include_str!("../../shaders/shared/log_cosh.wgsl")),
    ("metropolis", include_str!("../../shaders/shared/metropolis.wgsl")),
    ("moments", include_str!("../../shaders/shared/moments.wgsl")),
    ("norm", include_str!("../../shaders/shared/norm.wgsl")),
    ("norm_backward_rows", include_str!("../../shaders/shared/norm_backward_rows.wgsl")),
    ("norm_forward_rows", include_str!("../../shaders/shared/norm_forward_rows.wgsl")),
    ("online_softmax", include_str!("../../shaders/shared/online_softmax.wgsl")),
    ("philox", include_str!("../../shaders/shared/philox.wgsl")),
    ("product_tile", include_str!("../../shaders/shared/product_tile.wgsl")),
    ("put", include_str!("../../shaders/shared/put.wgsl")),
    ("recurrent", include_str!("../../shaders/shared/recurrent.wgsl")),
    ("factored", include_str!("../../shaders/shared/factored.wgsl")),
    ("recurrent_backward", include_str!("../../shaders/shared/recurrent_backward.wgsl")),
    ("remainder", include_str!("../../shaders/shared/remainder.wgsl")),
    ("score_product", include_str!("../../shaders/shared/score_product.wgsl")),
    ("score_rows", include_str!("../../shaders/shared/score_rows.wgsl")),
    ("score_stream", include_str!("../../shaders/shared/score_stream.wgsl")),
    ("score_stream_product", include_str!("../../shaders/shared/score_stream_product.wgsl")),
    ("score_tile", include_str!("../../shaders/shared/score_tile.wgsl")),
    ("sector", include_str!("../../shaders/shared/sector.wgsl")),
    ("segment", include_str!("../../shaders/shared/segment.wgsl")),
    ("sides", include_str!("../../shaders/shared/sides.wgsl")),
    ("slice_sum", include_str!("../../shaders/shared/slice_sum.wgsl")),
    ("state", include_str!("../../shaders/shared/state.wgsl")),
    ("suffix", include_str!("../../shaders/shared/suffix.wgsl")),
    ("suffix_rows", include_str!("../../shaders/shared/suffix_rows.wgsl")),
    ("tanh", include_str!("../../shaders/shared/tanh.wgsl")),
    ("transpose", include_str!("../../shaders/shared/transpose.wgsl")),
    ("triangle", include_str!("../../shaders/shared/triangle.wgsl")),
    ("weight", include_str!("../../shaders/shared/weight.wgsl")),
];
