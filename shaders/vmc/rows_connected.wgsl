// Suffix batch of the connected configurations of a window of deduplicated samples: for each move, the patches after
// the first changed one, which must be recomputed.
//
//   row u·R + k, with (start, position, move) = table[k] and σ' = sample sample_of[first + u] after the move:
//   token of σ' at position − 1, position, token of σ' at position, occupied
//
// `occupied` is the number of occupied sites of σ' in patches before position if counts = 1, otherwise 0.
//
// grid   ⌈rows / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · table (R): start, position, move, 0 ·
//        moves (M): first patch, mask, second patch, mask
// makes  rows (items·R): token, position, target, occupied
#import grid
struct Params { rows: u32, rows_per_item: u32, patches: u32, first: u32, samples: u32, counts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> table: array<vec4<u32>>;          // (R)
@group(0) @binding(4) var<storage, read> moves: array<vec4<u32>>;          // (M)
@group(0) @binding(5) var<storage, read_write> rows: array<vec4<u32>>;     // (items·R)

fn changed(token: u32, position: u32, change: vec4<u32>) -> u32 {
    return token ^ select(0u, change.y, position == change.x) ^ select(0u, change.w, position == change.z);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let item = min(params.first + row / params.rows_per_item, params.samples - 1u);
    let start = min(sample_of[item], params.samples - 1u) * params.patches;
    let entry = table[row % params.rows_per_item];
    let change = moves[entry.z];
    let p = entry.y;
    var occupied = 0u;
    for (var before = 0u; before < p * params.counts; before++) {
        occupied += countOneBits(changed(tokens[start + before], before, change));
    }
    let target_token = changed(tokens[start + p], p, change);
    rows[row] = vec4(changed(tokens[start + p - 1u], p - 1u, change), p, target_token, occupied);
}
