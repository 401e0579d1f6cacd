// Clusters of four lanes that exchange values through workgroup memory, for adapters without subgroups. All invocations
// of a workgroup of 64 call these functions together.
const LANES: u32 = 4u;
var<workgroup> cluster_values: array<vec3<f32>, 64>;
var<private> cluster_local: u32;

// The value of the lane of the cluster whose index differs by the bits of `step`.
fn cluster_other(value: vec3<f32>, step: u32) -> vec3<f32> {
    cluster_values[cluster_local] = value;
    workgroupBarrier();
    let other = cluster_values[cluster_local ^ step];
    workgroupBarrier();
    return other;
}

// The value of the first lane of the cluster.
fn cluster_first(value: vec3<f32>) -> vec3<f32> {
    cluster_values[cluster_local] = value;
    workgroupBarrier();
    let first = cluster_values[cluster_local & ~(LANES - 1u)];
    workgroupBarrier();
    return first;
}
