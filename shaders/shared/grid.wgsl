// Linear index of a workgroup. The host folds grids of more than 65,535 workgroups into x and y.
fn grid_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + group.y * groups.x;
}
