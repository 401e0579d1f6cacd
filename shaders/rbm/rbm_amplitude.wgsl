// Logarithm of the squared amplitude of a restricted Boltzmann machine, unnormalized.
//
//   log_p[r] = 2 log ψ = 2 ( Σ_i a_i s_i + Σ_j log cosh θ_j )
//
// grid   ⌈rows / 64⌉ workgroups
// reads  spins (rows, N) · theta (rows, M) · visible_bias (N)
// makes  log_p (rows)
#import grid
#import log_cosh
struct Params { rows: u32, sites: u32, hidden: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> spins: array<f32>;                // (rows, N)
@group(0) @binding(2) var<storage, read> theta: array<f32>;                // (rows, M)
@group(0) @binding(3) var<storage, read> visible_bias: array<f32>;         // (N)
@group(0) @binding(4) var<storage, read_write> log_p: array<f32>;          // (rows)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    var visible = 0.0;
    for (var i = 0u; i < params.sites; i++) { visible += visible_bias[i] * spins[row * params.sites + i]; }
    var hidden = 0.0;
    let start = row * params.hidden;
    for (var j = 0u; j < params.hidden; j += 4u) {
        let unit = vec4(j) + vec4(0u, 1u, 2u, 3u);
        let at = vec4(start) + min(unit, vec4(params.hidden - 1u));
        let x = vec4(theta[at.x], theta[at.y], theta[at.z], theta[at.w]);
        hidden += log_cosh_sum(select(vec4(0.0), x, unit < vec4(params.hidden)));
    }
    log_p[row] = 2.0 * (visible + hidden);
}
