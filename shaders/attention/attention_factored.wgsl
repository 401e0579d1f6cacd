// Factored attention, whose weights depend only on the relative position of two patches: subgroup variant.
//
//   out[b, i, m, d] = Σ_j A[m, r(i, j)] v[b, j, m, d]        r(i, j): position of j relative to i on the periodic grid
//
// With REVERSED = 1 the weight is A[m, r(j, i)]: the gradient with respect to v from that with respect to out. An
// element is a column of one head in one sample. A subgroup owns QUERIES queries of 4·LANES elements of a head, four
// per lane. Each lane loads the weights of some queries, and the subgroup broadcasts them by shuffles.
//
// grid   ⌈B·D / (4·LANES·SUBGROUPS)⌉ · H · ⌈T / QUERIES⌉ workgroups of SUBGROUPS subgroups
// reads  v (B·T, C) · relative (H, T)
// makes  out (B·T, C)
#import grid
#import factored
#import weight
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 4u; // spec 1 2
const QUERIES: u32 = 16u; // spec 1 4 9
const REVERSED: u32 = 0u; // spec 1

struct Params { samples: u32, side_x: u32, side_y: u32, heads: u32, head_width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> v: array<f32>;                    // (B·T, C)
@group(0) @binding(2) var<storage, read> relative: array<Weight>;          // (H, T)
@group(0) @binding(3) var<storage, read_write> out: array<f32>;            // (B·T, C)

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
    let tiles = (tokens + QUERIES - 1u) / QUERIES;
    let index = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let head = index % params.heads;
    let first_query = index / params.heads % tiles * QUERIES;
    let first = index / params.heads / tiles * 4u * LANES;
    let elements = params.samples * params.head_width;
    if (first >= elements) { return; }
    let width = params.heads * params.head_width;
    // Past the end, the last element is recomputed and not stored.
    let element = vec4(first + lane) + vec4(0u, 1u, 2u, 3u) * LANES;
    let safe = min(element, vec4(elements - 1u));
    let at = safe / params.head_width * (tokens * width) + safe % params.head_width + head * params.head_width;

    var query: array<vec2<u32>, LOADS>;
    for (var l = 0u; l < LOADS; l++) {
        query[l] = relative_place(min(first_query + l * LANES + lane, tokens - 1u), side);
    }
    var sum: array<vec4<f32>, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) { sum[i] = vec4(0.0); }
    var row = at;
    for (var x = 0u; x < side.x; x++) { for (var y = 0u; y < side.y; y++) {
        let key = vec2(x, y);
        var weight: array<f32, LOADS>;
        for (var l = 0u; l < LOADS; l++) {
            var r = relative_offset(key, query[l], side);
            if (REVERSED == 1u) { r = relative_offset(query[l], key, side); }
            weight[l] = f32(relative[head * tokens + r]);
        }
        let value = vec4(v[row.x], v[row.y], v[row.z], v[row.w]);
        for (var i = 0u; i < QUERIES; i++) {
            sum[i] = fma(vec4(subgroupShuffle(weight[i / LANES], i % LANES)), value, sum[i]);
        }
        row += vec4(width);
    } }

    for (var i = 0u; i < QUERIES; i++) {
        let stored = at + (first_query + i) * width;
        for (var c = 0u; c < 4u; c++) {
            if (first_query + i < tokens && element[c] < elements) { out[stored[c]] = sum[i][c]; }
        }
    }
}
