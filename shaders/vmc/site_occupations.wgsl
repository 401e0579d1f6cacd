// Occupations of all sites of samples, in site order.
//
//   occupations[b, i] = bit bit_i of tokens[b, patch_i]
//
// grid   ⌈B · N / 64⌉ workgroups
// reads  tokens (B, T) · places (N): patch_i · 32 + bit_i
// makes  occupations (B, N)
#import grid
struct Params { samples: u32, sites: u32, patches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> places: array<u32>;               // (N)
@group(0) @binding(3) var<storage, read_write> occupations: array<u32>;    // (B, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.samples * params.sites) { return; }
    let place = places[at % params.sites];
    let token = tokens[at / params.sites * params.patches + (place >> 5u)];
    occupations[at] = (token >> (place & 31u)) & 1u;
}
