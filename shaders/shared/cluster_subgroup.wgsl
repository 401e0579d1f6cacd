// Clusters of four lanes that exchange values by subgroup operations, on subgroups of any size from 4 lanes on.
const LANES: u32 = 4u;

// The value of the lane of the cluster whose index differs by the bits of `step`.
fn cluster_other(value: vec3<f32>, step: u32) -> vec3<f32> {
    return vec3(subgroupShuffleXor(value.x, step), subgroupShuffleXor(value.y, step), subgroupShuffleXor(value.z, step));
}

// The value of the first lane of the cluster.
fn cluster_first(value: vec3<f32>) -> vec3<f32> {
    return vec3(quadBroadcast(value.x, 0u), quadBroadcast(value.y, 0u), quadBroadcast(value.z, 0u));
}
