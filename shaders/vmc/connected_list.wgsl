// List of the connected configurations of deduplicated samples, sample by sample, and the ratios of moves that do not
// apply.
//
//   pairs[offsets[u] + n] = (first + u, m)        m: the n-th move that applies to item first + u
//   ratio[first + u, m] = (NEG_LARGE, 0)          if m does not apply
//
// grid   ⌈items / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · moves (moves): first patch, mask, second patch or none, mask ·
//        starts (moves): not read, condition · offsets (items) · live (1)
// makes  pairs (items · moves): item, move · ratio (B, moves, 2)
#import grid
#import connected
struct Params { items: u32, moves: u32, patches: u32, first: u32, samples: u32, first_item: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> moves: array<vec4<u32>>;          // (moves)
@group(0) @binding(4) var<storage, read> starts: array<vec2<u32>>;         // (moves)
@group(0) @binding(5) var<storage, read> offsets: array<u32>;              // (items)
@group(0) @binding(6) var<storage, read> live: array<u32>;                 // (1)
@group(0) @binding(7) var<storage, read_write> pairs: array<vec2<u32>>;    // (items·moves)
@group(0) @binding(8) var<storage, read_write> ratio: array<vec2<f32>>;    // (B, moves)

const NEG_LARGE: f32 = -1e30;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let u = grid_index(group, groups) * 64u + local;
    let item = params.first + u;
    if (u >= params.items || params.first_item + u >= live[0]) { return; }
    let start = min(sample_of[item], params.samples - 1u) * params.patches;
    var at = offsets[u];
    for (var m = 0u; m < params.moves; m++) {
        if (connected_holds(start, m)) {
            pairs[at] = vec2(item, m);
            at++;
        } else {
            ratio[item * params.moves + m] = vec2(NEG_LARGE, 0.0);
        }
    }
}
