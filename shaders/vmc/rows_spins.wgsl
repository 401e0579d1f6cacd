// Spins of samples as rows of floats, in patch order.
//
//   spins[r, i] = 2 n_i − 1        n_i = bit i mod P of tokens[b, i / P]
//   b = sample_of[first + r] with picked = 1, else first + r
//
// grid   ⌈rows · N / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B), with picked = 1
// makes  spins (rows, N)
#import grid
struct Params { rows: u32, sites: u32, sites_per_patch: u32, patches: u32, first: u32, samples: u32, picked: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read_write> spins: array<f32>;          // (rows, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.rows * params.sites) { return; }
    let i = at % params.sites;
    var b = min(params.first + at / params.sites, params.samples - 1u);
    // Items past the last deduplicated sample are never read. The bound keeps their undefined indices in range.
    if (params.picked == 1u) { b = min(sample_of[b], params.samples - 1u); }
    let token = tokens[b * params.patches + i / params.sites_per_patch];
    spins[at] = select(-1.0, 1.0, ((token >> (i % params.sites_per_patch)) & 1u) == 1u);
}
