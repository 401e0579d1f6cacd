// Parameter update along a direction.
//
//   θ ← θ + length · direction        length: the float in step[3]
//
// grid   ⌈elements / 64⌉ workgroups
// reads  direction (elements) · step (4)
// makes  parameters (elements): θ
#import grid
struct Params { elements: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> direction: array<f32>;        // (elements)
@group(0) @binding(2) var<storage, read> step: array<u32>;             // (4)
@group(0) @binding(3) var<storage, read_write> parameters: array<f32>; // (elements)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.elements) { return; }
    parameters[i] += bitcast<f32>(step[3]) * direction[i];
}
