// cos x and sin x with an absolute error of 2e-7 for |x| < 8192. Those of WGSL may have errors of 2⁻¹¹, and any error
// beyond π. x = k π/2 + r, where k times the first two of three parts of π/2 is exact; polynomials for r as in Cephes.
fn phase_factor(x: f32) -> vec2<f32> {
    let k = round(x * 0.63661977);
    let r = ((x - k * 1.5703125) - k * 4.837512969970703125e-4) - k * 7.5497899548918822e-8;
    let s = r * r;
    let cosine = 1.0 - 0.5 * s + s * s * (4.166664568e-2 + s * (-1.388731625e-3 + s * 2.443315712e-5));
    let sine = r + r * s * (-1.6666654611e-1 + s * (8.3321608736e-3 - s * 1.9515295891e-4));
    let quarter = i32(k) & 3;
    let turned = select(vec2(cosine, sine), vec2(-sine, cosine), (quarter & 1) == 1);
    return select(turned, -turned, quarter >= 2);
}
