// Rotary position embedding of queries and keys (Su et al., arXiv:2104.09864, section 3.2.2), in place.
//
//   (a, b) ← (a cos φ − s b sin φ, b cos φ + s a sin φ)        a, b: channels i and i + D/2 of a head, s = direction
//
// Row r is at position first + r mod period and is stored at row r·stride + offset. An invocation rotates one pair.
//
// grid   ⌈rows · C / 64⌉ workgroups: C/2 pairs of the query and C/2 of the key of each row
// reads  table (T, D): D/2 cosines, then D/2 sines of each position
// makes  the first two thirds of each row of qkv (rows, 3C), in place
#import grid
struct Params {
    rows: u32, heads: u32, half: u32, period: u32, first: u32, stride: u32, offset: u32, direction: f32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;                // (T, D)
@group(0) @binding(2) var<storage, read_write> qkv: array<f32>;            // (rows, 3C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let pairs = 2u * params.heads * params.half;
    let row = index / pairs;
    if (row >= params.rows) { return; }
    // Queries and keys are 2H heads in a row.
    let head = index % pairs / params.half;
    let i = index % params.half;
    let angle = (params.first + row % params.period) * 2u * params.half + i;
    let cosine = table[angle];
    let sine = params.direction * table[angle + params.half];
    let at = ((row * params.stride + params.offset) * 3u * params.heads + head) * 2u * params.half + i;
    let a = qkv[at];
    let b = qkv[at + params.half];
    qkv[at] = a * cosine - b * sine;
    qkv[at + params.half] = b * cosine + a * sine;
}
