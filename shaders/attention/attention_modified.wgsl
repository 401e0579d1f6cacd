// Elements of an input of attention_draw that are no longer what was drawn; four columns per invocation.
//
//   counts[0] += number of elements of x that differ
//
// grid   ⌈rows · ⌈width / 4⌉ / 64⌉ workgroups
// reads  x (B, S, H, D) with strides
// makes  counts (1), which is added to
#import grid
#import cache
#import philox
#import attention_inputs
@group(0) @binding(1) var<storage, read> x: array<Cache>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;   // (1)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let parts = (params.width + 3u) / 4u;
    let item = grid_index(group, groups) * 64u + local;
    let row = item / parts;
    let columns = item % parts;
    if (row >= params.rows) { return; }
    let values = drawn_values(row, columns);
    let first = row_index(row) + 4u * columns;
    var differing = 0u;
    for (var i = 0u; i < min(4u, params.width - 4u * columns); i++) {
        // False for NaN.
        if (!(f32(x[first + i]) == values[i])) { differing += 1u; }
    }
    if (differing > 0u) { atomicAdd(&counts[0], differing); }
}
