// Factored attention, whose weights depend only on the relative position of two patches: scalar variant, for adapters
// without subgroups.
//
//   out[b, i, m, d] = Σ_j A[m, r(i, j)] v[b, j, m, d]        r(i, j): position of j relative to i on the periodic grid
//
// With REVERSED = 1 the weight is A[m, r(j, i)]: the gradient with respect to v from that with respect to out. An
// element is a column of one head in one sample. An invocation owns four queries of four elements.
//
// grid   ⌈B·D / 256⌉ · H · ⌈T / 4⌉ workgroups
// reads  v (B·T, C) · relative (H, T)
// makes  out (B·T, C)
#import grid
#import factored
#import weight
const REVERSED: u32 = 0u; // spec 1

struct Params { samples: u32, side_x: u32, side_y: u32, heads: u32, head_width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> v: array<f32>;                    // (B·T, C)
@group(0) @binding(2) var<storage, read> relative: array<Weight>;          // (H, T)
@group(0) @binding(3) var<storage, read_write> out: array<f32>;            // (B·T, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let side = vec2(params.side_x, params.side_y);
    let tokens = side.x * side.y;
    let tiles = (tokens + 3u) / 4u;
    let index = grid_index(group, groups);
    let head = index % params.heads;
    let first_query = index / params.heads % tiles * 4u;
    let first = index / params.heads / tiles * 256u + local;
    let elements = params.samples * params.head_width;
    if (first >= elements) { return; }
    let width = params.heads * params.head_width;
    // Past the end, the last element is recomputed and not stored.
    let element = vec4(first) + vec4(0u, 64u, 128u, 192u);
    let safe = min(element, vec4(elements - 1u));
    let at = safe / params.head_width * (tokens * width) + safe % params.head_width + head * params.head_width;

    var sum: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) { sum[i] = vec4(0.0); }
    var query: array<vec2<u32>, 4>;
    for (var i = 0u; i < 4u; i++) { query[i] = relative_place(min(first_query + i, tokens - 1u), side); }
    var row = at;
    for (var x = 0u; x < side.x; x++) { for (var y = 0u; y < side.y; y++) {
        let key = vec2(x, y);
        let value = vec4(v[row.x], v[row.y], v[row.z], v[row.w]);
        for (var i = 0u; i < 4u; i++) {
            var r = relative_offset(key, query[i], side);
            if (REVERSED == 1u) { r = relative_offset(query[i], key, side); }
            sum[i] = fma(vec4(f32(relative[head * tokens + r])), value, sum[i]);
        }
        row += vec4(width);
    } }

    for (var i = 0u; i < 4u; i++) {
        let stored = at + (first_query + i) * width;
        for (var c = 0u; c < 4u; c++) {
            if (first_query + i < tokens && element[c] < elements) { out[stored[c]] = sum[i][c]; }
        }
    }
}
