// Sum of squares of each block of the gradient.
//
//   part[s] = Σ_{i in block s} gradient[i]²        blocks of 4096 elements
//
// Each invocation sums every 64th element of its block in order; a fixed tree then adds the 64 sums.
//
// grid   ⌈elements / 4096⌉ workgroups
// reads  gradient (elements)
// makes  part (blocks)
#import grid
struct Params { elements: u32, blocks: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;             // (elements)
@group(0) @binding(2) var<storage, read_write> part: array<f32>;           // (blocks)

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let block = grid_index(group, groups);
    let end = min((block + 1u) * 4096u, params.elements);
    var sum = 0.0;
    for (var i = block * 4096u + local; i < end; i += 64u) { sum += gradient[i] * gradient[i]; }
    sums[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (local < half) { sums[local] += sums[local + half]; }
        workgroupBarrier();
    }
    if (local == 0u && block < params.blocks) { part[block] = sums[0]; }
}
