// 1/√(variance + ε) of layer normalization.
const NORM_EPSILON: f32 = 1e-5;

fn norm_rstd(variance: f32) -> f32 {
    return 1.0 / sqrt(variance + NORM_EPSILON);
}
