// Gradient of the weights of factored attention, as partial sums of blocks of samples: scalar variant, for adapters
// without subgroups.
//
//   part[s, m, r] = Σ_{b in block s} Σ_i Σ_d d_out[b, i, m, d] v[b, j(i, r), m, d]
//   j(i, r): token at relative position r from i
//
// An invocation owns four relative positions of one head of one block.
//
// grid   blocks · H · ⌈T / 4⌉ invocations, 64 to a workgroup
// reads  d_out (B·T, C) · v (B·T, C) · live (1): only samples below live[0] count
// makes  part (blocks, H, T)
#import grid
#import factored
struct Params {
    samples: u32, side_x: u32, side_y: u32, heads: u32, head_width: u32, blocks: u32, block_samples: u32, first_item: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_out: array<f32>;                // (B·T, C)
@group(0) @binding(2) var<storage, read> v: array<f32>;                    // (B·T, C)
@group(0) @binding(3) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(4) var<storage, read_write> part: array<f32>;           // (blocks, H, T)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let side = vec2(params.side_x, params.side_y);
    let tokens = side.x * side.y;
    let tiles = (tokens + 3u) / 4u;
    let index = grid_index(group, groups) * 64u + local;
    let first = index % tiles * 4u;
    let head = index / tiles % params.heads;
    let block = index / tiles / params.heads;
    if (block >= params.blocks) { return; }
    let width = params.heads * params.head_width;
    let samples = min(params.samples, max(live[0], params.first_item) - params.first_item);
    let first_sample = min(block * params.block_samples, samples);
    let end_sample = min(first_sample + params.block_samples, samples);

    var sum = vec4(0.0);
    for (var i = 0u; i < tokens; i++) {
        let place = relative_place(i, side);
        var key: vec4<u32>;
        for (var o = 0u; o < 4u; o++) {
            key[o] = relative_token(place, relative_place(min(first + o, tokens - 1u), side), side) * width;
        }
        var product = vec4(0.0);
        for (var sample = first_sample; sample < end_sample; sample++) { for (var d = 0u; d < params.head_width; d++) {
            let at = sample * tokens * width + head * params.head_width + d;
            let row = vec4(at) + key;
            product = fma(vec4(d_out[at + i * width]), vec4(v[row.x], v[row.y], v[row.z], v[row.w]), product);
        } }
        sum += product;
    }
    let start = (block * params.heads + head) * tokens;
    for (var o = 0u; o < 4u; o++) {
        if (first + o < tokens) { part[start + first + o] = sum[o]; }
    }
}
