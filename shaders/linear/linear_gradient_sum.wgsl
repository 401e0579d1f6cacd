// Sum of the blocks of a weight gradient, in their order.
//
//   d_weight[i] (+)= Σ_s part[s, i]      (i < N·K)          d_bias[n] (+)= Σ_s part[s, N·K + n]
//
// keep = 1 continues the sum of earlier chunks of samples block by block, so that it does not depend on the division of
// the blocks into chunks. keep = 0 starts a new sum.
//
// grid   ⌈(N·K + N) / 64⌉ workgroups
// reads  part (blocks, N·K + N)
// makes  d_weight (N, K) · d_bias (N)
#import grid
struct Params { weights: u32, columns: u32, blocks: u32, keep: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;                 // (blocks, N·K + N)
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;       // (N, K)
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;         // (N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    let stride = params.weights + params.columns;
    if (i >= stride) { return; }
    let is_weight = i < params.weights;
    let n = max(i, params.weights) - params.weights;
    var sum = 0.0;
    if (params.keep == 1u) {
        if (is_weight) { sum = d_weight[i]; } else { sum = d_bias[n]; }
    }
    for (var s = 0u; s < params.blocks; s++) { sum += part[s * stride + i]; }
    if (is_weight) { d_weight[i] = sum; } else { d_bias[n] = sum; }
}
