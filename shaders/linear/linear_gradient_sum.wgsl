// Sums of the blocks of gradients, in their order. One launch adds many gradients: each segment is a range of columns of
// one of them.
//
//   gradient[d + i] (+)= Σ_s part[p + s·stride + i]      (i < columns)      for each segment with source p, destination d
//
// keep = 1 continues the sum of earlier chunks of samples block by block, so that it does not depend on the division of
// the blocks into chunks. keep = 0 starts a new sum.
//
// grid   ⌈columns / 64⌉ workgroups per segment
// reads  part (blocks, stride) of each gradient · segments
// makes  gradient
#import grid
#import segment

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups);
    let segment = segment_of(index);
    let i = (index - segment.first_group) * 64u + local;
    if (i >= segment.columns) { return; }
    let to = segment.destination + i;
    var sum = 0.0;
    if (params.keep == 1u) { sum = gradient[to]; }
    var from_block = segment.source + i;
    for (var s = 0u; s < segment.parts; s++) {
        sum += part[from_block];
        from_block += segment.stride;
    }
    gradient[to] = sum;
}
