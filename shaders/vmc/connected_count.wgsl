// Number of connected configurations of each deduplicated sample.
//
//   counts[u] = number of moves m whose condition holds for item first + u        0 if first_item + u ≥ live[0]
//
// Condition 1: the two sites differ. A move with any other condition always applies.
//
// grid   ⌈items / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · moves (moves): first patch, mask, second patch or none, mask ·
//        starts (moves): not read, condition · live (1)
// makes  counts (items)
#import grid
#import connected
struct Params { items: u32, moves: u32, patches: u32, first: u32, samples: u32, first_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> moves: array<vec4<u32>>;          // (moves)
@group(0) @binding(4) var<storage, read> starts: array<vec2<u32>>;         // (moves)
@group(0) @binding(5) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(6) var<storage, read_write> counts: array<u32>;         // (items)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let u = grid_index(group, groups) * 64u + local;
    if (u >= params.items) { return; }
    var count = 0u;
    if (params.first_item + u < live[0]) {
        let b = min(sample_of[params.first + u], params.samples - 1u);
        for (var m = 0u; m < params.moves; m++) { count += u32(connected_holds(b * params.patches, m)); }
    }
    counts[u] = count;
}
