// Dropout with an optional residual.
//
//   y[e] = residual[e] + x[e] · keep(e) · factor        keep(e) = word(e) ≥ dropped        factor = 1 / (1 − rate)
//   word(e) = philox(counter = (first + ⌊e/4⌋, site, step, 1), key = seed)[e mod 4]
//
// An invocation computes four elements from the four words of one counter.
//
// grid   ⌈elements / 256⌉ workgroups
// reads  x (elements), in place y · residual (elements) · step: seed (2), step number, -
// makes  y (elements)
#import grid
#import philox
#import dropout_keep
const IN_PLACE: u32 = 0u; // spec 1
const RESIDUAL: u32 = 0u; // spec 1

struct Params { vectors: u32, first: u32, site: u32, dropped: u32, factor: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (elements)
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;       // (elements)
@group(0) @binding(3) var<storage, read> step: array<u32>;                 // (4)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;        // (elements)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.vectors) { return; }
    let words = philox(vec4(params.first + at, params.site, step[2], 1u), vec2(step[0], step[1]));
    var value: vec4<f32>;
    if (IN_PLACE == 1u) { value = y[at]; } else { value = x[at]; }
    value = dropout_keep(words, value);
    if (RESIDUAL == 1u) { value += residual[at]; }
    y[at] = value;
}
