// Layer normalization of ROWS rows by a cluster of four lanes, 16 columns at a time. Moments are computed by Welford's
// update on vec4s and Chan's merge of lanes (Chan, Golub & LeVeque 1983), which avoid cancellation if the mean is large.
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

// Moments (count, mean, Σ(x − mean)²) of the union of two disjoint parts.
fn merge(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    let count = a.x + b.x;
    let share = b.x / max(count, 1.0);
    let step = b.y - a.y;
    return vec3(count, a.y + step * share, a.z + b.z + step * step * a.x * share);
}

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
            let value = x[start[i] + c];
            let mean = dot(value, vec4(0.25));
            let away = value - mean;
            moments[i] = merge(moments[i], vec3(4.0, mean, dot(away, away)));
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        for (var step = 1u; step < LANES; step *= 2u) { moments[i] = merge(moments[i], cluster_other(moments[i], step)); }
        // All four lanes use the values of the first, because the merge is not bitwise symmetric.
        let first = cluster_first(moments[i]);
        moments[i] = vec3(first.y, norm_rstd(first.z / f32(params.width)), 0.0);
        if (lane == 0u && first_row + i < params.rows) { stats[first_row + i] = moments[i].xy; }
    }
    for (var c = lane; c < width4; c += LANES) {
        let scale = gamma[c];
        let shift = beta[c];
        for (var i = 0u; i < ROWS; i++) {
            let value = (x[start[i] + c] - moments[i].x) * moments[i].y * scale + shift;
            if (first_row + i < params.rows) { y[start[i] + c] = value; }
        }
    }
}
