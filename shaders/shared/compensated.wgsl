// Returns x. Hides its origin from compilers, which may reorder floating-point sums. `zero` is 0, which is not known at
// compile time.
fn opaque(x: vec4<f32>, zero: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4(zero));
}
// high + low + x as a compensated pair (Knuth's TwoSum): the rounding error of high + x is added to low.
fn compensated_add(high: vec4<f32>, low: vec4<f32>, x: vec4<f32>, zero: u32) -> array<vec4<f32>, 2> {
    let sum = opaque(high + x, zero);
    let of_x = opaque(sum - high, zero);
    let lost = opaque(high - opaque(sum - of_x, zero), zero) + opaque(x - of_x, zero);
    return array<vec4<f32>, 2>(sum, low + lost);
}
