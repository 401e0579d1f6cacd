// Sums of the blocks of small gradients whose blocks are divided into parts: the parts of a block in order, then the
// blocks in order. For GPUs, where parts give more workgroups than blocks. One launch adds many gradients: each segment
// is a range of columns of one of them.
//
//   gradient[d + i] (+)= Σ_s Σ_j part[p + (s·P + j)·stride + i]      (i < columns)
//
// for each segment with source p, destination d and P parts per block.
//
// keep = 1 continues the sum of earlier chunks of samples block by block, so that it does not depend on the division of
// the blocks into chunks. keep = 0 starts a new sum. 32 columns i have 8 invocations each, which add the parts of
// consecutive blocks.
//
// grid   ⌈columns / 32⌉ workgroups per segment
// reads  part (parts, stride) of each gradient · segments
// makes  gradient
#import grid
#import segment
const COLUMNS: u32 = 32u;
const BLOCKS: u32 = 8u;
const UNROLLED: u32 = 4u;

var<workgroup> sums: array<f32, COLUMNS * BLOCKS>;

@compute @workgroup_size(COLUMNS * BLOCKS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column = local % COLUMNS;
    let index = grid_index(group, groups);
    let segment = segment_of(index);
    let i = (index - segment.first_group) * COLUMNS + column;
    let adds = local < COLUMNS && i < segment.columns;
    let to = segment.destination + i;
    let first_part = segment.source + min(i, segment.columns - 1u);
    var total = 0.0;
    if (params.keep == 1u && adds) { total = gradient[to]; }
    let per_round = BLOCKS * segment.parts_per_block;
    for (var first = 0u; first < segment.parts; first += per_round) {
        let start = first + (local / COLUMNS) * segment.parts_per_block;
        let end = min(start + segment.parts_per_block, segment.parts);
        var sum = 0.0;
        for (var p = 0u; p < segment.parts_per_block; p += UNROLLED) {
            var value: array<f32, UNROLLED>;
            for (var u = 0u; u < UNROLLED; u++) {
                value[u] = part[first_part + min(start + p + u, segment.parts - 1u) * segment.stride];
            }
            for (var u = 0u; u < UNROLLED; u++) { sum += select(0.0, value[u], start + p + u < end); }
        }
        sums[local] = sum;
        workgroupBarrier();
        if (local < COLUMNS) {
            for (var s = 0u; s < BLOCKS; s++) { total += sums[s * COLUMNS + column]; }
        }
        workgroupBarrier();
    }
    if (adds) { gradient[to] = total; }
}
