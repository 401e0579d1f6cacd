// Activations and their slopes: 0 none, 1 relu, 2 tanh, 3 gelu (tanh approximation, Hendrycks & Gimpel,
// arXiv:1606.08415).
const ACTIVATION: u32 = 0u; // spec 0 1 2 3

const GELU_SCALE: f32 = 0.7978845608028654; // √(2/π)
const GELU_CUBE: f32 = 0.044715;

fn activation_value(x: f32) -> f32 {
    if (ACTIVATION == 1u) { return max(x, 0.0); }
    if (ACTIVATION == 2u) { return tanh_value(x); }
    if (ACTIVATION == 3u) { return 0.5 * x * (1.0 + tanh_value(GELU_SCALE * (x + GELU_CUBE * x * x * x))); }
    return x;
}

// Slope from the value that the forward pass saved: the output of the activation for relu and tanh, its input for gelu.
fn activation_slope(saved: f32) -> f32 {
    if (ACTIVATION == 1u) { return select(0.0, 1.0, saved > 0.0); }
    if (ACTIVATION == 2u) { return 1.0 - saved * saved; }
    if (ACTIVATION == 3u) {
        let t = tanh_value(GELU_SCALE * (saved + GELU_CUBE * saved * saved * saved));
        let inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBE * saved * saved);
        return 0.5 * (1.0 + t) + 0.5 * saved * (1.0 - t * t) * inner;
    }
    return 1.0;
}

fn activation_value4(x: vec4<f32>) -> vec4<f32> {
    return vec4(activation_value(x.x), activation_value(x.y), activation_value(x.z), activation_value(x.w));
}

fn activation_slope4(x: vec4<f32>) -> vec4<f32> {
    return vec4(activation_slope(x.x), activation_slope(x.y), activation_slope(x.z), activation_slope(x.w));
}
