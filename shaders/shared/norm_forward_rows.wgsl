// Layer normalization of ROWS rows by a cluster of four lanes, 16 columns at a time.
//
//   y[r, c] = (x[r, c] − mean_r) · rstd_r · γ[c] + β[c]        rstd_r = (var_r + 1e-5)^(−1/2), var biased
//
// reads  x (rows, C) · gamma (C) · beta (C)
// makes  y (rows, C) · stats (rows, 2): mean, rstd
// C is a multiple of 4.
const ROWS: u32 = 1u; // spec 4

struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // (rows, C)
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>;          // (C)
@group(0) @binding(3) var<storage, read> beta: array<vec4<f32>>;           // (C)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;        // (rows, C)
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;    // (rows)

// The rows of cluster `cluster`, of which this is lane `lane`.
fn norm_rows(cluster: u32, lane: u32) {
    let first_row = cluster * ROWS;
    let width4 = params.width / 4u;
    // Past the edge, the last row is recomputed and not stored, so that every lane reaches the shuffles.
    var start: array<u32, ROWS>;
    var moments: array<vec3<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        start[i] = min(first_row + i, params.rows - 1u) * width4;
        moments[i] = vec3(0.0);
    }
    for (var c = lane; c < width4; c += LANES) {
        for (var i = 0u; i < ROWS; i++) {
            moments[i] = moments_with(moments[i], x[start[i] + c]);
        }
    }
    var row: array<vec2<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        row[i] = row_stats(moments[i], params.width);
        if (lane == 0u && first_row + i < params.rows) { stats[first_row + i] = row[i]; }
    }
    for (var c = lane; c < width4; c += LANES) {
        let scale = gamma[c];
        let shift = beta[c];
        for (var i = 0u; i < ROWS; i++) {
            let value = (x[start[i] + c] - row[i].x) * row[i].y * scale + shift;
            if (first_row + i < params.rows) { y[start[i] + c] = value; }
        }
    }
}
