// Spins of connected configurations as rows of floats, in patch order.
//
//   spins[r, i] = 2 n'_i − 1        n': sample sample_of[item] after the move, (item, move) = pairs[first + r]
//
// grid   ⌈rows · N / 64⌉ workgroups
// reads  pairs (pairs): item, move · tokens (B, T) · sample_of (B) ·
//        moves (moves): first patch, mask, second patch or none, mask
// makes  spins (rows, N)
#import grid
struct Params { rows: u32, sites: u32, sites_per_patch: u32, patches: u32, first: u32, samples: u32, moves: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;          // (pairs)
@group(0) @binding(2) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(3) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(4) var<storage, read> moves: array<vec4<u32>>;          // (moves)
@group(0) @binding(5) var<storage, read_write> spins: array<f32>;          // (rows, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let row = at / params.sites;
    if (row >= params.rows) { return; }
    let i = at % params.sites;
    // Rows past the last pair are never read. The bounds keep their undefined indices in range.
    let pair = min(pairs[params.first + row], vec2(params.samples, params.moves) - 1u);
    let b = min(sample_of[pair.x], params.samples - 1u);
    let change = moves[pair.y];
    let patch_of = i / params.sites_per_patch;
    var token = tokens[b * params.patches + patch_of];
    if (patch_of == change.x) { token ^= change.y; }
    if (patch_of == change.z) { token ^= change.w; }
    spins[at] = select(-1.0, 1.0, ((token >> (i % params.sites_per_patch)) & 1u) == 1u);
}
