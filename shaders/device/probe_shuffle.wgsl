// Subgroup shuffle throughput probe.
//
//   v[i] ← v[i] of lane (lane + s·stride) mod LANES + i, for s < steps        y[lane] = Σ_i (2i + 1) v[i]
//
// Each lane has eight independent values. The source lane depends on a parameter of the host.
//
// grid   lanes / (4·LANES) workgroups
// reads  params only
// makes  y (lanes)
#import grid
const LANES: u32 = 8u; // spec 4 16 32 64

struct Params { lanes: u32, steps: u32, stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;              // (lanes), a multiple of 4·LANES

@compute @workgroup_size(LANES * 4u)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) id: u32,
) {
    let first = (grid_index(group, groups) * 4u + local / LANES) * LANES;
    if (first >= params.lanes) { return; }
    var v: array<u32, 8>;
    for (var i = 0u; i < 8u; i++) { v[i] = first + id + i; }
    var source = id;
    for (var s = 0u; s < params.steps; s++) {
        for (var i = 0u; i < 8u; i++) { v[i] = subgroupShuffle(v[i], source) + i; }
        source = (source + params.stride) % LANES;
    }
    var sum = 0u;
    for (var i = 0u; i < 8u; i++) { sum += (2u * i + 1u) * v[i]; }
    y[first + id] = sum;
}
