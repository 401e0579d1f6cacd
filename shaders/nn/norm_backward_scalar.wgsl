// Gradient of layer normalization with respect to its input: scalar variant, for any width and for adapters without
// subgroups.
//
//   d_x[r, c] = rstd_r · ( g_c − mean_c(g) − x̂_c · mean_c(g x̂) ) + extra[r, c]
//   x̂_c = (x[r, c] − mean_r) · rstd_r        g_c = d_y[r, c] · γ[c]
//
// An invocation owns a row.
//
// grid   rows invocations, 64 to a workgroup
// reads  x (rows, C) · stats (rows, 2) · gamma (C) · d_y (rows, C) · extra (rows, C)
// makes  d_x (rows, C)
#import grid
// Role of `extra`: 0 unused · 1 added, the gradient that bypasses the norm
const EXTRA: u32 = 0u; // spec 1

struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;                    // (rows, C)
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;          // (rows): mean, rstd
@group(0) @binding(3) var<storage, read> gamma: array<f32>;                // (C)
@group(0) @binding(4) var<storage, read> d_y: array<f32>;                  // (rows, C)
@group(0) @binding(5) var<storage, read> extra: array<f32>;                // (rows, C)
@group(0) @binding(6) var<storage, read_write> d_x: array<f32>;            // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let start = row * params.width;
    let row_stats = stats[row];
    var sums = vec2(0.0);
    for (var c = 0u; c < params.width; c++) {
        let g = d_y[start + c] * gamma[c];
        sums += vec2(g, g * (x[start + c] - row_stats.x) * row_stats.y);
    }
    sums /= f32(params.width);
    for (var c = 0u; c < params.width; c++) {
        let normal = (x[start + c] - row_stats.x) * row_stats.y;
        var value = row_stats.y * (d_y[start + c] * gamma[c] - sums.x - normal * sums.y);
        if (EXTRA == 1u) { value += extra[start + c]; }
        d_x[start + c] = value;
    }
}
