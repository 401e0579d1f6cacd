// Values of deduplicated samples with the local free energy in place of the local energy.
//
//   free[row, 0] = E(row) + temperature · Σ_t log_p[b, t]      free[row, k] = values[row, k] for k > 0
//   row          = i of a group of G samples                   b = i − i mod G + sample_of[i]
//
// The mean of the first column is the free energy E − T·S. For an unnormalized wave function it contains a constant,
// which gradients do not.
//
// grid   ⌈B / 64⌉ workgroups
// reads  values (B, COLUMNS), deduplicated samples first in each group · sample_of (B) · log_p (B, parts) ·
//        step (5): seed (2), step number, learning rate, temperature
// makes  free (B, COLUMNS)
#import columns
#import grid
struct Params { samples: u32, group_samples: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;               // (B, COLUMNS)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> log_p: array<f32>;                // (B, parts)
@group(0) @binding(4) var<storage, read> step: array<u32>;                 // (5)
@group(0) @binding(5) var<storage, read_write> free: array<f32>;           // (B, COLUMNS)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.samples) { return; }
    // Rows past the last deduplicated sample are never read. The bound keeps their undefined indices in range.
    let b = min(i - i % params.group_samples + sample_of[i], params.samples - 1u);
    var log_probability = 0.0;
    for (var t = 0u; t < params.parts; t++) { log_probability += log_p[b * params.parts + t]; }
    let at = i * COLUMNS;
    free[at] = values[at] + bitcast<f32>(step[4]) * log_probability;
    for (var k = 1u; k < COLUMNS; k++) { free[at + k] = values[at + k]; }
}
