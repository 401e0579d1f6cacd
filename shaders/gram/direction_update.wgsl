// Direction of a step with momentum from the previous one (SPRING, arXiv:2401.10190, eq. 20).
//
//   direction ← gradient + μ · direction
//
// grid   ⌈elements / 64⌉ workgroups
// reads  gradient (elements)
// makes  direction (elements)
#import grid
struct Params { elements: u32, momentum: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;         // (elements)
@group(0) @binding(2) var<storage, read_write> direction: array<f32>;  // (elements)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.elements) { return; }
    direction[i] = gradient[i] + params.momentum * direction[i];
}
