// What a product does with four sums before they are stored: bias, activation or the slope of one, addition. The importing
// file binds `bias` and `extra` in vec4s.
const BIAS: u32 = 1u; // spec 0
// What `extra` is: 0 nothing · 1 added after the activation · 2 the saved activation, whose slope multiplies the sum
const EXTRA: u32 = 0u; // spec 1 2

// The bias of four columns.
fn epilogue_bias(column4: u32) -> vec4<f32> {
    if (BIAS == 1u) { return bias[column4]; }
    return vec4(0.0);
}

// The rest, for sums with their bias whose place in `extra` is `at`.
fn epilogue_value(sum: vec4<f32>, at: u32) -> vec4<f32> {
    if (EXTRA == 2u) { return sum * activation_slope4(extra[at]); }
    let value = activation_value4(sum);
    if (EXTRA == 1u) { return value + extra[at]; }
    return value;
}
