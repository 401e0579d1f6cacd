// Loop length probe: some drivers silently end an invocation after a maximum number of iterations.
//
//   v ← v · 1664525 + 1013904223 (mod 2³²), steps times from v = lane        y[lane] = v
//
// grid   ⌈lanes / 64⌉ workgroups
// reads  params only
// makes  y (lanes) of u32
#import grid
struct Params { lanes: u32, steps: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;              // (lanes)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = grid_index(group, groups) * 64u + local;
    if (lane >= params.lanes) { return; }
    var v = lane;
    for (var i = 0u; i < params.steps; i++) { v = v * 1664525u + 1013904223u; }
    y[lane] = v;
}
