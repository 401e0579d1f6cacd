// Layer normalization of rows: subgroup variant.
//
// grid   ⌈rows / ROWS⌉ clusters of 4 lanes, 64 lanes to a workgroup
// reads  see norm_forward_rows
// makes  see norm_forward_rows
// C is a multiple of 4; subgroups have at least 4 lanes.
#import grid
#import norm
#import cluster_subgroup
#import moments
#import norm_forward_rows

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    norm_rows(grid_index(group, groups) * (64u / LANES) + local / LANES, id % LANES);
}
