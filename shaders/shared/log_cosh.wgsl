// Σ log cosh x of four numbers: log cosh x = |x| + log(1 + e^(−2|x|)) − log 2. One logarithm covers the four factors,
// whose product is from 1 to 16. Neither large nor small x loses digits.
fn log_cosh_sum(x: vec4<f32>) -> f32 {
    let size = abs(x);
    let factor = 1.0 + exp(-2.0 * size);
    return dot(size, vec4(1.0)) + (log((factor.x * factor.y) * (factor.z * factor.w)) - 2.7725887);
}
