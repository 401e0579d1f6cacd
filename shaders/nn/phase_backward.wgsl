// Gradient of the phases, in place.
//
//   d_phases[r, v] = d_phase[r / T] · [v = target_r]
//
// grid   ⌈rows · V / 64⌉ workgroups
// reads  rows (rows): token, position, target, sites occupied before · d_phase (samples)
// makes  phases (rows, V), which become d_phases
#import grid
struct Params { rows: u32, outcomes: u32, patches: u32, first_sample: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;           // (rows)
@group(0) @binding(2) var<storage, read> d_phase: array<f32>;              // (samples)
@group(0) @binding(3) var<storage, read_write> phases: array<f32>;         // (rows, V)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let row = at / params.outcomes;
    if (row >= params.rows) { return; }
    let slope = d_phase[params.first_sample + row / params.patches];
    phases[at] = select(0.0, slope, at % params.outcomes == rows[row].z);
}
