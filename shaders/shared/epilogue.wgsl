// Epilogue of a product for four sums: bias, activation or slope of an activation, addition. The importing file binds
// `bias` and `extra` as vec4s.
const BIAS: u32 = 1u; // spec 0
// Role of `extra`: 0 unused · 1 added after the activation · 2 saved activation, whose slope multiplies the sum
const EXTRA: u32 = 0u; // spec 1 2

// Bias of four columns.
fn epilogue_bias(column4: u32) -> vec4<f32> {
    if (BIAS == 1u) { return bias[column4]; }
    return vec4(0.0);
}

// Remaining epilogue for sums that include the bias. `at` is their index in `extra`.
fn epilogue_value(sum: vec4<f32>, at: u32) -> vec4<f32> {
    if (EXTRA == 2u) { return sum * activation_slope4(extra[at]); }
    let value = activation_value4(sum);
    if (EXTRA == 1u) { return value + extra[at]; }
    return value;
}
