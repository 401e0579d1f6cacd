// Statistics of the softmax of rows of logits, added to those of the chunks of tokens before.
//
//   m = max_v l[r, v]      Σ_v exp(l[r, v] − m)      Σ_v exp(l[r, v] − m) (l[r, v] − m)      l[r, target_r]
//
// LANES lanes share a row and merge their statistics through workgroup memory, in a fixed order.
//
// grid   ⌈rows · LANES / max(64, LANES)⌉ workgroups
// reads  logits (rows, columns) · targets (all rows)
// makes  statistics (all rows, 4); the chunk of token 0 starts them
#import grid
#import cross_entropy
const LANES: u32 = 8u; // spec 1 4 256

@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;             // (rows, columns)
@group(0) @binding(2) var<storage, read> targets: array<u32>;                  // (all rows)
@group(0) @binding(3) var<storage, read_write> statistics: array<vec4<f32>>;   // (all rows)

const THREADS: u32 = max(64u, LANES);
const VECTORS: u32 = 4u;                  // vec4s of a step
const SMALLEST: f32 = -1e30;              // start of the maximum
const MASKED: f32 = -3e38;                // columns without a token

var<workgroup> shared_sums: array<vec3<f32>, THREADS>;

// Maximum and sums of the union of two parts.
fn merged(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    let top = max(a.x, b.x);
    let below = vec2(a.x, b.x) - top;
    let factor = exp(below);
    return vec3(
        top,
        factor.x * a.y + factor.y * b.y,
        factor.x * (a.z + a.y * below.x) + factor.y * (b.z + b.y * below.y),
    );
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let own_row = grid_index(group, groups) * (THREADS / LANES) + local / LANES;
    // Past the edge, the last row is recomputed and not stored, so that every lane reaches the barriers.
    let row = min(own_row, params.rows - 1u);
    let start = row * params.columns4;
    var sums = vec3(SMALLEST, 0.0, 0.0);
    for (var c = lane; c < params.columns4; c += VECTORS * LANES) {
        var l: array<vec4<f32>, VECTORS>;
        var top = sums.x;
        for (var k = 0u; k < VECTORS; k++) { // unroll
            let column = c + k * LANES;
            let value = logits[start + min(column, params.columns4 - 1u)];
            l[k] = select(vec4(MASKED), value, 4u * column + vec4(0u, 1u, 2u, 3u) < vec4(params.tokens));
            top = max(top, max(max(l[k].x, l[k].y), max(l[k].z, l[k].w)));
        }
        let below = sums.x - top;
        let factor = exp(below);
        sums = vec3(top, factor * sums.y, factor * (sums.z + sums.y * below));
        for (var k = 0u; k < VECTORS; k++) { // unroll
            let e = exp(l[k] - top);
            sums += vec3(0.0, dot(e, vec4(1.0)), dot(e, select(l[k] - top, vec4(0.0), l[k] == vec4(MASKED))));
        }
    }
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        shared_sums[local] = sums;
        workgroupBarrier();
        sums = merged(sums, shared_sums[local ^ step]);
        workgroupBarrier();
    }
    if (lane > 0u || own_row >= params.rows) { return; }
    let at = params.first_row + row;
    var before = vec4(SMALLEST, 0.0, 0.0, 0.0);
    if (params.first_token > 0u) { before = statistics[at]; }
    let column = targets[at] - params.first_token;
    if (column < params.tokens) { before.w = logits[start + column / 4u][column % 4u]; }
    statistics[at] = vec4(merged(before.xyz, sums), before.w);
}
