// Workgroup number of a grid that the host folded into x and y because it has over 65,535 workgroups.
fn grid_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + group.y * groups.x;
}
