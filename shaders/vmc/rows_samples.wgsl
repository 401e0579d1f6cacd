// Row metadata of the teacher-forced pass over a window of deduplicated samples.
//
//   row u·T + t:  token of patch t − 1 (0 for t = 0), t, token of patch t, occupied      of sample sample_of[first + u]
//
// `occupied` is the number of occupied sites in patches before t if counts = 1, otherwise 0.
//
// grid   ⌈rows / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B)
// makes  rows (items·T): token, position, target, occupied
#import grid
struct Params { rows: u32, patches: u32, first: u32, samples: u32, counts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<u32>>;     // (items·T)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let item = min(params.first + row / params.patches, params.samples - 1u);
    let t = row % params.patches;
    // Items past the last deduplicated sample are never read. The bound keeps their undefined indices in range.
    let at = min(sample_of[item], params.samples - 1u) * params.patches + t;
    var occupied = 0u;
    for (var before = 0u; before < t * params.counts; before++) {
        occupied += countOneBits(tokens[at - t + before]);
    }
    rows[row] = vec4(select(0u, tokens[max(at, 1u) - 1u], t > 0u), t, tokens[at], occupied);
}
