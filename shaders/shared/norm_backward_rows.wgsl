// Gradient of layer normalization with respect to its input, for ROWS rows by a cluster of four lanes, 16 columns at a
// time.
//
//   d_x[r, c] = rstd_r · ( g_c − mean_c(g) − x̂_c · mean_c(g x̂) ) + extra[r, c]
//   x̂_c = (x[r, c] − mean_r) · rstd_r        g_c = d_y[r, c] · γ[c]
//
// reads  x (rows, C) · stats (rows, 2) · gamma (C) · d_y (rows, C) · extra (rows, C)
// makes  d_x (rows, C)
// C is a multiple of 4.
const ROWS: u32 = 1u; // spec 4
// Role of `extra`: 0 unused · 1 added, the gradient that bypasses the norm
const EXTRA: u32 = 0u; // spec 1

struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, C)
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;          // (rows): mean, rstd
@group(0) @binding(3) var<storage, read> gamma: array<vec4<f32>>;          // (C)
@group(0) @binding(4) var<storage, read> d_y: array<vec4<f32>>;            // (rows, C)
@group(0) @binding(5) var<storage, read> extra: array<vec4<f32>>;          // (rows, C)
@group(0) @binding(6) var<storage, read_write> d_x: array<vec4<f32>>;      // (rows, C)

// The rows of cluster `cluster`, of which this is lane `lane`.
fn norm_rows(cluster: u32, lane: u32) {
    let first_row = cluster * ROWS;
    let width4 = params.width / 4u;
    // Past the edge, the last row is recomputed and not stored, so that every lane reaches the shuffles.
    var start: array<u32, ROWS>;
    var row_stats: array<vec2<f32>, ROWS>;
    var sums: array<vec2<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        let row = min(first_row + i, params.rows - 1u);
        start[i] = row * width4;
        row_stats[i] = stats[row];
        sums[i] = vec2(0.0);
    }
    for (var c = lane; c < width4; c += LANES) {
        let scale = gamma[c];
        for (var i = 0u; i < ROWS; i++) {
            let g = d_y[start[i] + c] * scale;
            let normal = (x[start[i] + c] - row_stats[i].x) * row_stats[i].y;
            sums[i] += vec2(dot(g, vec4(1.0)), dot(g, normal));
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        for (var step = 1u; step < LANES; step *= 2u) {
            sums[i] += cluster_other(vec3(sums[i], 0.0), step).xy;
        }
        sums[i] /= f32(params.width);
    }
    for (var c = lane; c < width4; c += LANES) {
        let scale = gamma[c];
        for (var i = 0u; i < ROWS; i++) {
            if (first_row + i < params.rows) {
                let g = d_y[start[i] + c] * scale;
                let normal = (x[start[i] + c] - row_stats[i].x) * row_stats[i].y;
                var value = row_stats[i].y * (g - sums[i].x - normal * sums[i].y);
                if (EXTRA == 1u) { value += extra[start[i] + c]; }
                d_x[start[i] + c] = value;
            }
        }
    }
}
