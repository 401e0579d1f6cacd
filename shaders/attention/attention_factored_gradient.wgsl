// Gradient of the weights of factored attention, as partial sums of blocks of samples: subgroup variant.
//
//   part[s, m, r] = Σ_{b in block s} Σ_i Σ_d d_out[b, i, m, d] v[b, j(i, r), m, d]
//   j(i, r): token at relative position r from i
//
// A subgroup owns one head of one block. It sums the products of QUERIES queries, broadcast by shuffles, and KEYS·LANES
// keys over samples and columns. It then adds those of equal relative position, in the order of queries.
// linear_gradient_sum adds the blocks in a fixed order.
//
// grid   blocks · H subgroups, SUBGROUPS to a workgroup
// reads  d_out (B·T, C) · v (B·T, C) · live (1): only samples below live[0] count
// makes  part (blocks, H, T)
#import grid
#import factored
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 4u; // spec 1 2
const QUERIES: u32 = 16u; // spec 1 4 9
const KEYS: u32 = 4u; // spec 1 2
const OFFSETS: u32 = 4u; // spec 1 8

struct Params {
    samples: u32, side_x: u32, side_y: u32, heads: u32, head_width: u32, blocks: u32, block_samples: u32, first_item: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(2) var<storage, read> v: array<f32>;                    // (B·T, C)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<f32>;           // (blocks, H, T)

const LOADS: u32 = (QUERIES + LANES - 1u) / LANES;

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let side = vec2(params.side_x, params.side_y);
    let tokens = side.x * side.y;
    let index = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let head = index % params.heads;
    let block = index / params.heads;
    if (block >= params.blocks) { return; }
    let width = params.heads * params.head_width;
    let samples = min(params.samples, max(live[0], params.first_item) - params.first_item);
    let first_sample = min(block * params.block_samples, samples);
    let end_sample = min(first_sample + params.block_samples, samples);

    var sum: array<f32, OFFSETS>;
    var offset: array<vec2<u32>, OFFSETS>;
    for (var o = 0u; o < OFFSETS; o++) {
        sum[o] = 0.0;
        offset[o] = relative_place(min(o * LANES + lane, tokens - 1u), side);
    }
    for (var tile = 0u; tile < tokens; tile += QUERIES) {
        for (var first_key = 0u; first_key < tokens; first_key += KEYS * LANES) {
            var query: array<u32, LOADS>;
            for (var l = 0u; l < LOADS; l++) { query[l] = min(tile + l * LANES + lane, tokens - 1u) * width; }
            var key: array<u32, KEYS>;
            for (var k = 0u; k < KEYS; k++) { key[k] = min(first_key + k * LANES + lane, tokens - 1u) * width; }
            var product: array<f32, QUERIES * KEYS>;
            for (var i = 0u; i < QUERIES * KEYS; i++) { product[i] = 0.0; }
            for (var sample = first_sample; sample < end_sample; sample++) { for (var d = 0u; d < params.head_width; d++) {
                let at = sample * tokens * width + head * params.head_width + d;
                var a: array<f32, LOADS>;
                for (var l = 0u; l < LOADS; l++) { a[l] = d_out[at + query[l]]; }
                var b: array<f32, KEYS>;
                for (var k = 0u; k < KEYS; k++) { b[k] = v[at + key[k]]; }
                for (var i = 0u; i < QUERIES; i++) {
                    let passed = subgroupShuffle(a[i / LANES], i % LANES);
                    for (var k = 0u; k < KEYS; k++) { product[i * KEYS + k] = fma(passed, b[k], product[i * KEYS + k]); }
                }
            } }
            // A lane reads the products of its relative positions from the lanes that hold the keys.
            for (var i = 0u; i < QUERIES; i++) {
                let place = relative_place(min(tile + i, tokens - 1u), side);
                for (var o = 0u; o < OFFSETS; o++) {
                    let j = relative_token(place, offset[o], side) - first_key;
                    let counts = tile + i < tokens && o * LANES + lane < tokens;
                    for (var k = 0u; k < KEYS; k++) {
                        let value = subgroupShuffle(product[i * KEYS + k], j % LANES);
                        // Keys before first_key wrap around to large j and are excluded.
                        if (counts && j / LANES == k) { sum[o] += value; }
                    }
                }
            }
        }
    }
    for (var o = 0u; o < OFFSETS; o++) {
        let r = o * LANES + lane;
        if (r < tokens) { part[(block * params.heads + head) * tokens + r] = sum[o]; }
    }
}
