// Inputs of attention benchmarks; four columns per invocation.
//
//   x[b, s, h, e] = n / 64        n integer in −256..=254, see attention_inputs
//
// grid   ⌈rows · ⌈width / 4⌉ / 64⌉ workgroups
// reads  nothing
// makes  x (B, S, H, D) with strides
#import grid
#import cache
#import philox
#import attention_inputs
@group(0) @binding(1) var<storage, read_write> x: array<Cache>;

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
    for (var i = 0u; i < min(4u, params.width - 4u * columns); i++) { x[first + i] = Cache(values[i]); }
}
