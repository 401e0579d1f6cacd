// Peak arithmetic probe: multiply-adds in registers.
//
//   a[i] ← a[i] · factor + addend, 8·steps times        y[lane] = Σ_i Σ_4 a[i]        (CHAINS independent vec4 chains)
//
// Factor and addend come from the host, so that no compiler can predict the result. The loop has few iterations of
// several links each, because some drivers end an invocation after 65,535 iterations.
//
// grid   lanes / 64 workgroups
// reads  params only
// makes  y (lanes)
#import grid
const CHAINS: u32 = 2u; // spec 4 8

struct Params { lanes: u32, steps: u32, factor: f32, addend: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;              // (lanes)

fn link(a: vec4<f32>) -> vec4<f32> {
    return fma(a, vec4(params.factor), vec4(params.addend));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = grid_index(group, groups) * 64u + local;
    if (lane >= params.lanes) { return; }
    var a: array<vec4<f32>, CHAINS>;
    for (var i = 0u; i < CHAINS; i++) { a[i] = vec4(0.0, 0.25, 0.5, 0.75) + f32(local + i) / 64.0; }
    for (var s = 0u; s < params.steps; s++) {
        for (var i = 0u; i < CHAINS; i++) { a[i] = link(link(link(link(a[i])))); }
        for (var i = 0u; i < CHAINS; i++) { a[i] = link(link(link(link(a[i])))); }
    }
    var sum = 0.0;
    for (var i = 0u; i < CHAINS; i++) { sum += dot(a[i], vec4(1.0)); }
    y[lane] = sum;
}
