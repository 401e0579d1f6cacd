// Phase of the target outcome of each row.
//
//   phase[r] = phases[r, target_r]        target_r = targets[stride · r + offset]
//
// grid   ⌈rows / 64⌉ workgroups
// reads  targets (rows · stride) · phases (rows, V)
// makes  phase (rows)
#import grid
struct Params { rows: u32, outcomes: u32, stride: u32, offset: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<u32>;              // (rows · stride)
@group(0) @binding(2) var<storage, read> phases: array<f32>;               // (rows, V)
@group(0) @binding(3) var<storage, read_write> phase: array<f32>;          // (rows)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    phase[row] = phases[row * params.outcomes + targets[row * params.stride + params.offset]];
}
