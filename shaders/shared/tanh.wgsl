// tanh without overflow, and without the loss of relative accuracy near 0 of some drivers' tanh.
fn tanh_value(x: f32) -> f32 {
    let square = x * x;
    let series = x * (1.0 + square * (-0.33333333 + square * (0.13333333 - 0.053968254 * square)));
    return select(tanh(clamp(x, -15.0, 15.0)), series, square < 0.01);
}

fn tanh_value4(x: vec4<f32>) -> vec4<f32> {
    return vec4(tanh_value(x.x), tanh_value(x.y), tanh_value(x.z), tanh_value(x.w));
}
