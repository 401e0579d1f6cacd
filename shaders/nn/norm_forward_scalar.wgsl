// Layer normalization of rows: scalar variant, for any width and for adapters without subgroups.
//
//   y[r, c] = (x[r, c] − mean_r) · rstd_r · γ[c] + β[c]        rstd_r = (var_r + 1e-5)^(−1/2), var biased
//
// An invocation owns a row. Moments are computed by Welford's update.
//
// grid   rows invocations, 64 to a workgroup
// reads  x (rows, C) · gamma (C) · beta (C)
// makes  y (rows, C) · stats (rows, 2): mean, rstd
#import grid
#import norm

struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;                    // (rows, C)
@group(0) @binding(2) var<storage, read> gamma: array<f32>;                // (C)
@group(0) @binding(3) var<storage, read> beta: array<f32>;                 // (C)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;              // (rows, C)
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;    // (rows)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let start = row * params.width;
    var mean = 0.0;
    var squares = 0.0;
    for (var c = 0u; c < params.width; c++) {
        let value = x[start + c];
        let step = value - mean;
        mean += step / f32(c + 1u);
        squares += step * (value - mean);
    }
    let rstd = norm_rstd(squares / f32(params.width));
    for (var c = 0u; c < params.width; c++) {
        y[start + c] = (x[start + c] - mean) * rstd * gamma[c] + beta[c];
    }
    stats[row] = vec2(mean, rstd);
}
