// 64-bit hash of each configuration, so that most comparisons of two configurations need a single comparison.
//
//   h ← mix(h ⊕ token_t), twice with different constants
//
// grid   ⌈B / 64⌉ workgroups
// reads  tokens (B, T)
// makes  hash (B)
#import grid
struct Params { samples: u32, patches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read_write> hash: array<vec2<u32>>;     // (B)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = grid_index(group, groups) * 64u + local;
    if (b >= params.samples) { return; }
    var h = vec2(0x811c9dc5u, 0x2545f491u);
    for (var t = 0u; t < params.patches; t++) {
        h = (h ^ vec2(tokens[b * params.patches + t])) * vec2(0x01000193u, 0x9e3779b1u);
        h ^= h >> vec2(15u);
    }
    hash[b] = h;
}
