// Layer normalization of rows: tiled variant, whose lanes exchange sums through workgroup memory,
// for adapters without subgroups.
//
// grid   ⌈rows / ROWS⌉ clusters of 4 lanes, 64 lanes to a workgroup
// reads  see norm_forward_rows
// makes  see norm_forward_rows
// C is a multiple of 4.
#import grid
#import norm
#import cluster_memory
#import moments
#import norm_forward_rows

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    cluster_local = local;
    norm_rows(grid_index(group, groups) * (64u / LANES) + local / LANES, local % LANES);
}
