// Diagonal energy of each occupied site of a window of deduplicated samples: its field and its pairs with later sites.
//
//   site_energy[u, q] = n_q ( field_q + Σ_{k in pairs of q} value_k n_{other_k} )
//
// Sites are numbered in patch order, q = t·P + j. `other` is packed as t·32 + j.
//
// grid   ⌈items · N / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · sites (N + 1): first pair, field · pairs: other, value
// makes  site_energy (items, N)
#import grid
struct Params { items: u32, sites: u32, sites_per_patch: u32, patches: u32, first: u32, samples: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> sites: array<vec2<u32>>;          // (N + 1)
@group(0) @binding(4) var<storage, read> pairs: array<vec2<u32>>;          // (pairs)
@group(0) @binding(5) var<storage, read_write> site_energy: array<f32>;    // (items, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.items * params.sites) { return; }
    let item = min(params.first + at / params.sites, params.samples - 1u);
    let q = at % params.sites;
    let start = min(sample_of[item], params.samples - 1u) * params.patches;
    let token = tokens[start + q / params.sites_per_patch];
    var energy = 0.0;
    if (((token >> (q % params.sites_per_patch)) & 1u) == 1u) {
        energy = bitcast<f32>(sites[q].y);
        for (var k = sites[q].x; k < sites[q + 1u].x; k++) {
            let pair = pairs[k];
            let occupied = (tokens[start + (pair.x >> 5u)] >> (pair.x & 31u)) & 1u;
            energy += select(0.0, bitcast<f32>(pair.y), occupied == 1u);
        }
    }
    site_energy[at] = energy;
}
