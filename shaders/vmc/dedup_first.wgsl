// First sample with the same configuration as each sample, compared by hash and then token by token.
//
//   first[b] = min { a : tokens[a] = tokens[b] }, or b if share = 0
//
// grid   ⌈B / 64⌉ workgroups
// reads  tokens (B, T) · hash (B)
// makes  first (B)
#import grid
struct Params { samples: u32, patches: u32, share: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> hash: array<vec2<u32>>;           // (B)
@group(0) @binding(3) var<storage, read_write> first: array<u32>;          // (B)

fn same(a: u32, b: u32) -> bool {
    for (var t = 0u; t < params.patches; t++) {
        if (tokens[a * params.patches + t] != tokens[b * params.patches + t]) { return false; }
    }
    return true;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = grid_index(group, groups) * 64u + local;
    if (b >= params.samples) { return; }
    let mine = hash[b];
    var found = b;
    if (params.share == 1u) {
        for (var a = 0u; a < b; a++) {
            if (all(hash[a] == mine)) {
                if (same(a, b)) {
                    found = a;
                    break;
                }
            }
        }
    }
    first[b] = found;
}
