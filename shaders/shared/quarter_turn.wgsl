// x = k π/2 + r with |r| ≤ π/4, and cos r and sin r, four at a time. Absolute error of 2e-7 for |x| < 8192. WGSL allows
// its own functions errors of 2⁻¹¹ up to π, and any error beyond.
//
// k times the first two of three parts of π/2 is exact; polynomials of r as in Cephes.
struct QuarterTurn { k: vec4<f32>, cosine: vec4<f32>, sine: vec4<f32> }

fn quarter_turn(x: vec4<f32>) -> QuarterTurn {
    let k = round(x * 0.63661977);
    let r = ((x - k * 1.5703125) - k * 4.837512969970703125e-4) - k * 7.5497899548918822e-8;
    let s = r * r;
    let cosine = 1.0 - 0.5 * s + s * s * (4.166664568e-2 + s * (-1.388731625e-3 + s * 2.443315712e-5));
    let sine = r + r * s * (-1.6666654611e-1 + s * (8.3321608736e-3 - s * 1.9515295891e-4));
    return QuarterTurn(k, cosine, sine);
}
