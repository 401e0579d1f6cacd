// Operands of the gradient of a restricted Boltzmann machine, computed from its activations in place.
//
//   slope[r]    = 2 w_r                  w_r = d_log_p[first + r], the gradient w.r.t. log P = 2 log ψ
//   spins[r, i] = 2 w_r s_i              d_a = Σ_r spins[r]        d_W = Σ_r spins[r]ᵀ theta[r]
//   theta[r, j] = tanh θ_j               d_b = Σ_r slope[r] theta[r]
//
// grid   ⌈rows · (N + M) / 64⌉ workgroups
// reads  spins (rows, N) · theta (rows, M) · d_log_p (B)
// makes  spins · theta · slope (rows)
#import grid
#import tanh
struct Params { rows: u32, sites: u32, hidden: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_log_p: array<f32>;              // (B)
@group(0) @binding(2) var<storage, read_write> spins: array<f32>;          // (rows, N)
@group(0) @binding(3) var<storage, read_write> theta: array<f32>;          // (rows, M)
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;          // (rows)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let width = params.sites + params.hidden;
    let row = at / width;
    let column = at % width;
    if (row >= params.rows) { return; }
    let twice = 2.0 * d_log_p[params.first + row];
    if (column < params.sites) {
        spins[row * params.sites + column] *= twice;
        if (column == 0u) { slope[row] = twice; }
    } else {
        let unit = row * params.hidden + column - params.sites;
        theta[unit] = tanh_value(theta[unit]);
    }
}
