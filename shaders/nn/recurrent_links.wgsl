// Links from the rows of a suffix batch to their previous states, as read by recurrent_step. They are sorted by the
// position of a row in its sequence.
//
//   links[u·R + i] = (token before, k, source, source row)       (k, source, offset, counts) = table[i]
//   source row = u·R + offset                           source 1: another row of the item
//                sample_of[first_item + u] + offset     source 2: a row of the base samples
//                u·conditioning_stride + offset         source 4: a row of the conditionings
//
// `counts` is 0 at the start of a sequence, where the token before is 0.
//
// grid   items · R invocations, 64 to a workgroup
// reads  rows (items·R): token before, position, target, occupied · table (R) · sample_of (items of all windows)
// makes  links (items·R)
#import grid
struct Params { rows: u32, rows_per_item: u32, first_item: u32, conditioning_stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;          // (items·R)
@group(0) @binding(2) var<storage, read> table: array<vec4<u32>>;         // (R): row, source, offset, counts
@group(0) @binding(3) var<storage, read> sample_of: array<u32>;           // (first_item + items)
@group(0) @binding(4) var<storage, read_write> links: array<vec4<u32>>;   // (items·R)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    if (index >= params.rows) { return; }
    let item = index / params.rows_per_item;
    let entry = table[index % params.rows_per_item];
    let row = rows[item * params.rows_per_item + entry.x];
    var before = item * params.rows_per_item + entry.z;
    if (entry.y == 2u) { before = sample_of[params.first_item + item] + entry.z; }
    if (entry.y == 4u) { before = item * params.conditioning_stride + entry.z; }
    links[index] = vec4(row.x * entry.w, entry.x, entry.y, before);
}
