// Moments (count, mean, Σ(x − mean)²) of rows that clusters of four lanes share. They are computed by Welford's update on
// vec4s and Chan's merge of lanes (Chan, Golub & LeVeque 1983), which avoid cancellation if the mean is large.

// Moments of the union of two disjoint parts.
fn merge(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    let count = a.x + b.x;
    let share = b.x / max(count, 1.0);
    let step = b.y - a.y;
    return vec3(count, a.y + step * share, a.z + b.z + step * step * a.x * share);
}

// Moments of a part and four more values.
fn moments_with(moments: vec3<f32>, value: vec4<f32>) -> vec3<f32> {
    let mean = dot(value, vec4(0.25));
    let away = value - mean;
    return merge(moments, vec3(4.0, mean, dot(away, away)));
}

// Mean and 1/√(variance + ε) of a row of `width` elements, of which this lane has `moments`.
fn row_stats(moments: vec3<f32>, width: u32) -> vec2<f32> {
    var all = moments;
    for (var step = 1u; step < LANES; step *= 2u) { all = merge(all, cluster_other(all, step)); }
    // All four lanes use the values of the first, because the merge is not bitwise symmetric.
    let first = cluster_first(all);
    return vec2(first.y, norm_rstd(first.z / f32(width)));
}
