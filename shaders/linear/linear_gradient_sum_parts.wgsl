// Sum of the blocks of a small gradient whose blocks are divided into parts: the parts of a block in order, then the
// blocks in order. For GPUs, where parts give more workgroups than blocks.
//
//   d_weight[i] (+)= Σ_s Σ_p part[s·P + p, i]      (i < N·K)          d_bias[n] (+)= Σ_s Σ_p part[s·P + p, N·K + n]
//
// keep = 1 continues the sum of earlier chunks of samples block by block, so that it does not depend on the division of
// the blocks into chunks. keep = 0 starts a new sum. 32 columns i have 8 invocations each, which add the parts of
// consecutive blocks.
//
// grid   ⌈(N·K + N) / 32⌉ workgroups
// reads  part (parts, N·K + N)
// makes  d_weight (N, K) · d_bias (N)
#import grid
const COLUMNS: u32 = 32u;
const BLOCKS: u32 = 8u;
const UNROLLED: u32 = 4u;

struct Params { weights: u32, columns: u32, parts: u32, parts_per_block: u32, keep: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;                 // (parts, N·K + N)
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;       // (N, K)
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;         // (N)

var<workgroup> sums: array<f32, COLUMNS * BLOCKS>;

@compute @workgroup_size(COLUMNS * BLOCKS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column = local % COLUMNS;
    let i = grid_index(group, groups) * COLUMNS + column;
    let stride = params.weights + params.columns;
    let adds = local < COLUMNS && i < stride;
    let is_weight = i < params.weights;
    let n = max(i, params.weights) - params.weights;
    let at = min(i, stride - 1u);
    var total = 0.0;
    if (params.keep == 1u && adds) {
        if (is_weight) { total = d_weight[i]; } else { total = d_bias[n]; }
    }
    let per_round = BLOCKS * params.parts_per_block;
    for (var first = 0u; first < params.parts; first += per_round) {
        let start = first + (local / COLUMNS) * params.parts_per_block;
        let end = min(start + params.parts_per_block, params.parts);
        var sum = 0.0;
        for (var p = 0u; p < params.parts_per_block; p += UNROLLED) {
            var value: array<f32, UNROLLED>;
            for (var u = 0u; u < UNROLLED; u++) {
                value[u] = part[min(start + p + u, params.parts - 1u) * stride + at];
            }
            for (var u = 0u; u < UNROLLED; u++) { sum += select(0.0, value[u], start + p + u < end); }
        }
        sums[local] = sum;
        workgroupBarrier();
        if (local < COLUMNS) {
            for (var s = 0u; s < BLOCKS; s++) { total += sums[s * COLUMNS + column]; }
        }
        workgroupBarrier();
    }
    if (adds) {
        if (is_weight) { d_weight[i] = total; } else { d_bias[n] = total; }
    }
}
