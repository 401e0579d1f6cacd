// Addition of the conditioning to the rows of sub-patches: the row of their large patch.
//
//   x[i·R + m, c] += own[i·R_L + a, c]                                  with a = table[first_entry + m]
//   x[i·R + m, c] += base[sample_of[first_item + i]·L + ⌊p_m / S⌋, c]   if a is none, 2³² − 1
//
// grid   ⌈rows · C/4 / 64⌉ workgroups
// reads  own (items·R_L, C) · base (B·L, C) · sample_of (B) · table (entries): large row of an item, or none
//        row_table (R, 2): s, p · x
// makes  x (rows, C)
// C is a multiple of 4.
#import grid
struct Params {
    rows: u32, width4: u32, per_item: u32, first_entry: u32, own_per_item: u32, first_item: u32, samples: u32,
    base_per_sample: u32, sub_patches: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> own: array<vec4<f32>>;            // (items·R_L, C)
@group(0) @binding(2) var<storage, read> base: array<vec4<f32>>;           // (B·L, C)
@group(0) @binding(3) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(4) var<storage, read> table: array<u32>;                // (entries)
@group(0) @binding(5) var<storage, read> row_table: array<vec2<u32>>;      // (R): s, p
@group(0) @binding(6) var<storage, read_write> x: array<vec4<f32>>;        // (rows, C)

const NONE: u32 = 0xffffffffu;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let row = index / params.width4;
    if (row >= params.rows) { return; }
    let column = index % params.width4;
    let item = row / params.per_item;
    let m = row % params.per_item;
    let large = table[params.first_entry + m];
    if (large != NONE) {
        x[index] += own[(item * params.own_per_item + large) * params.width4 + column];
    } else {
        let sample = min(sample_of[min(params.first_item + item, params.samples - 1u)], params.samples - 1u);
        let at = sample * params.base_per_sample + row_table[m].y / params.sub_patches;
        x[index] += base[at * params.width4 + column];
    }
}
