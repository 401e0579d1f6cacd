// Row metadata of large patches, from the tokens of their sub-patches.
//
//   row i·R_L + m, with (l, s, k) = table[first_entry + m]:  bits of large patch l − 1 in the order of its elements, l
//   token of sub-patch j < l·S:  token before of packed[i·R + k − (l·S − 1 − j)]      for j + 1 ≥ s
//                                tokens[sample_of[first_item + i], j]                 for j + 1 < s
//
// A row of `packed` contains the token before its sub-patch. The rows of one configuration are consecutive from
// sub-patch s on, the first whose token before may differ from the sample's. Row k is that of sub-patch l·S.
//
// grid   ⌈rows / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · packed (items·R): token before, position, target, occupied
//        table: l, s, k, 0 ·
//        places (p): position s·P + j of each element of a large patch in the bits of its sub-patches
// makes  rows (rows, ⌈p / 32⌉ + 1)
#import grid
struct Params {
    rows: u32, per_item: u32, first_entry: u32, packed_per_item: u32, first_item: u32, samples: u32,
    patches: u32, sub_patches: u32, sub_sites: u32, sites: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> packed: array<vec4<u32>>;         // (items·R)
@group(0) @binding(4) var<storage, read> table: array<vec4<u32>>;          // (entries)
@group(0) @binding(5) var<storage, read> places: array<u32>;               // (p)
@group(0) @binding(6) var<storage, read_write> rows: array<u32>;           // (rows, words + 1)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let item = row / params.per_item;
    let entry = table[params.first_entry + row % params.per_item];
    // Row of `packed` whose token before is that of sub-patch 0.
    let own = item * params.packed_per_item + entry.z + 1u - entry.x * params.sub_patches;
    var base = 0u;
    if (params.samples > 0u) {
        base = min(sample_of[min(params.first_item + item, params.samples - 1u)], params.samples - 1u) * params.patches;
    }
    let words = (params.sites + 31u) / 32u;
    for (var word = 0u; word < words; word++) {
        var bits = 0u;
        for (var e = 0u; e < min(32u, params.sites - 32u * word) && entry.x > 0u; e++) {
            let place = places[32u * word + e];
            let j = (entry.x - 1u) * params.sub_patches + place / params.sub_sites;
            var token = 0u;
            if (j + 1u >= entry.y) { token = packed[own + j].x; } else { token = tokens[base + j]; }
            bits |= ((token >> (place % params.sub_sites)) & 1u) << e;
        }
        rows[row * (words + 1u) + word] = bits;
    }
    rows[row * (words + 1u) + words] = entry.x;
}
