// Feature map of linear attention, φ(x) = elu(x) + 1 (Katharopoulos et al., arXiv:2006.16236). It is positive, and
// constant below −30, so that no denominator is 0.
fn feature(x: vec4<f32>) -> vec4<f32> {
    return select(exp(clamp(x, vec4(-30.0), vec4(0.0))), x + 1.0, x > vec4(0.0));
}

// φ'(x), from φ(x).
fn feature_slope(value: vec4<f32>) -> vec4<f32> {
    return min(value, vec4(1.0));
}
