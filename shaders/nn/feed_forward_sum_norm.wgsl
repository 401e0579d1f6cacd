// Layer normalization of the sum of the slices of feed_forward_slices, which is not stored.
//
//   y[r] = norm( residual[r] + b2 + Σ_s part[s, r] )        norm as in norm_forward, see there
//
// Lanes exchange moments through workgroup memory. Sums and moments are added in the order of feed_forward_sum and
// norm_forward.
//
// grid   rows clusters of 4 lanes, 64 lanes to a workgroup
// reads  part (slices, rows, C) · residual (rows, C) · bias2 (C) · gamma (C) · beta (C)
// makes  y (rows, C)
// C is a multiple of 4, at most 16 · VECTORS.
#import grid
#import norm
#import cluster_memory
#import moments
#import slice_sum
const VECTORS: u32 = 2u; // spec 1
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;         // (C)
@group(0) @binding(5) var<storage, read> beta: array<vec4<f32>>;          // (C)
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;       // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    cluster_local = local;
    let row = grid_index(group, groups) * (64u / LANES) + local / LANES;
    let lane = local % LANES;
    let width4 = params.width4;
    // Past the edge, the last row is recomputed and not stored, so that every lane reaches the barriers.
    let start = min(row, params.rows - 1u) * width4;
    var sum: array<vec4<f32>, VECTORS>;
    var moments = vec3(0.0);
    for (var v = 0u; v < VECTORS; v++) { // unroll
        let c = v * LANES + lane;
        if (c < width4) {
            sum[v] = slice_sum(start + c, c);
            moments = moments_with(moments, sum[v]);
        }
    }
    let stats = row_stats(moments, 4u * width4);
    for (var v = 0u; v < VECTORS; v++) { // unroll
        let c = v * LANES + lane;
        if (c < width4 && row < params.rows) { y[start + c] = (sum[v] - stats.x) * stats.y * gamma[c] + beta[c]; }
    }
}
