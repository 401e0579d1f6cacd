// Excludes outcomes of a patch that occupy a site next to an occupied one: replaces their logits, so that their
// probability is 0.
//
//   row r is the patch at `position` of a configuration c
//   logits[at, v] = NEG_LARGE   if v occupies a site j of the patch, and c or v a site in pairs of (position, j)
//   at = r / rows_per_item · stride + r mod rows_per_item + offset
//
// GATHER = 0: c = sample r, and position = offset. GATHER = 1: c = sample sample_of[first + r / rows_per_item], and
// position = r mod rows_per_item. GATHER = 2: c is that sample after the move of table[r mod rows_per_item], which also
// has the position. `pairs` of a site only contains sites of the same and of earlier patches.
//
// grid   ⌈rows · V / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · table (R): start, position, move, 0 · moves (M): patch, mask, patch, mask ·
//        starts (T·P + 1): first pair of each site · pairs: patch, mask of its sites
// makes  logits (rows, V) of excluded outcomes
#import grid
const GATHER: u32 = 0u; // spec 1 2
const NEG_LARGE: f32 = -1e30;
struct Params {
    rows: u32, rows_per_item: u32, patches: u32, outcomes: u32, sites_per_patch: u32, first: u32, samples: u32,
    stride: u32, offset: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> table: array<vec4<u32>>;          // (R)
@group(0) @binding(4) var<storage, read> moves: array<vec4<u32>>;          // (M)
@group(0) @binding(5) var<storage, read> starts: array<u32>;               // (T·P + 1)
@group(0) @binding(6) var<storage, read> pairs: array<vec2<u32>>;          // (pairs)
@group(0) @binding(7) var<storage, read_write> logits: array<f32>;         // (rows, V)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    if (index >= params.rows * params.outcomes) { return; }
    let row = index / params.outcomes;
    let outcome = index % params.outcomes;
    let item = row / params.rows_per_item;
    let within = row % params.rows_per_item;
    var sample = row;
    var position = params.offset;
    var change = vec4(0xffffffffu, 0u, 0xffffffffu, 0u);
    if (GATHER > 0u) {
        sample = sample_of[min(params.first + item, params.samples - 1u)];
        position = within;
    }
    if (GATHER == 2u) {
        position = table[within].y;
        change = moves[table[within].z];
    }
    let start = min(sample, params.samples - 1u) * params.patches;
    var excluded = false;
    for (var j = 0u; j < params.sites_per_patch; j++) {
        if (((outcome >> j) & 1u) == 0u) { continue; }
        let site = position * params.sites_per_patch + j;
        for (var k = starts[site]; k < starts[site + 1u]; k++) {
            let other = pairs[k].x;
            var token = tokens[start + other];
            token ^= select(0u, change.y, other == change.x) ^ select(0u, change.w, other == change.z);
            token = select(token, outcome, other == position);
            excluded = excluded || (token & pairs[k].y) != 0u;
        }
    }
    if (excluded) {
        logits[(item * params.stride + within + params.offset) * params.outcomes + outcome] = NEG_LARGE;
    }
}
