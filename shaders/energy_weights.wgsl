// Gradient of the energy by each distinct sample's log-probability.
//
//   d_log_p[i] = count_i (E_i − Ē) / B
//
// grid   ⌈rows / 64⌉ workgroups, rows ≥ B
// reads  values (B, 8) · count (B) · statistics (8, 2)
// makes  d_log_p (B)
#import grid
struct Params { samples: u32, rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;               // (B, 8)
@group(0) @binding(2) var<storage, read> count: array<u32>;                // (B)
@group(0) @binding(3) var<storage, read> statistics: array<f32>;           // (8, 2)
@group(0) @binding(4) var<storage, read_write> d_log_p: array<f32>;        // (B)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.rows) { return; }
    d_log_p[i] = f32(count[i]) * (values[i * 8u] - statistics[0]) / f32(params.samples);
}
