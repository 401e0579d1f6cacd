// Gradient of the energy by each distinct sample's log-probability.
//
//   d_log_p[i] = count_i (E(b) − Ē) / B          b = i − i mod S + sample_of_i
//   E(b)       = values[b − b mod G + unique_of_b, 0]
//
// Distinct samples are numbered within spans of S samples here, and within groups of G samples where their energies
// stand: spans do not depend on how much memory there is.
//
// grid   ⌈B / 64⌉ workgroups
// reads  values (B, 8) and unique_of (B), by groups · sample_of (B) and count (B), by spans · statistics (8, 2)
// makes  d_log_p (B), by spans
#import grid
struct Params { samples: u32, group_samples: u32, span_samples: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;               // (B, 8)
@group(0) @binding(2) var<storage, read> unique_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(4) var<storage, read> count: array<u32>;                // (B)
@group(0) @binding(5) var<storage, read> statistics: array<f32>;           // (8, 2)
@group(0) @binding(6) var<storage, read_write> d_log_p: array<f32>;        // (B)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.samples) { return; }
    // Beyond the last distinct sample stands garbage that nobody reads; the bounds keep it inside the buffers.
    let b = min(i - i % params.span_samples + sample_of[i], params.samples - 1u);
    let group_first = b - b % params.group_samples;
    let row = min(group_first + unique_of[b], params.samples - 1u);
    d_log_p[i] = f32(count[i]) * (values[row * 8u] - statistics[0]) / f32(params.samples);
}
