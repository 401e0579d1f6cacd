// log cosh u and tanh u of complex u = a + i b with a ≥ 0, four at a time. Stable for large a and near the zeros of
// cosh.
//
//   cosh u = cosh a · (cos b + i t sin b)                              t = tanh a
//   tanh u = (t + i (1 − t²) sin b cos b) / |cos b + i t sin b|²
//
// With b = k π/2 + r, |r| ≤ π/4, all values follow from sin r and cos r.
struct ComplexCosh {
    modulus: vec4<f32>,   // |cos b + i t sin b|², at least 1e-30
    angle: vec4<f32>,     // argument of cosh u, continuous in b
    t: vec4<f32>,
    turn: vec4<f32>,      // sin b cos b
}

// atan2(y, x) for x ≥ 0, with the series of Cephes' atanf.
fn angle_of(y: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    let size = abs(y);
    let steep = size > x;
    let low = min(size, x);
    let high = max(max(size, x), vec4(1e-30));
    let far = low > 0.41421356 * high;
    let ratio = select(low, low - high, far) / select(high, low + high, far);
    let square = ratio * ratio;
    let series = ((0.080537445 * square - 0.13877686) * square + 0.19977711) * square - 0.33332950;
    var angle = series * square * ratio + ratio + select(vec4(0.0), vec4(0.78539816), far);
    angle = select(angle, 1.57079633 - angle, steep);
    return select(angle, -angle, y < vec4(0.0));
}

fn complex_cosh(a: vec4<f32>, b: vec4<f32>) -> ComplexCosh {
    let turn = quarter_turn(b);
    let t = tanh_value4(a);
    // For odd k, r is measured from a zero of cos b.
    let odd = (vec4<i32>(turn.k) & vec4(1)) == vec4(1);
    let x = turn.cosine * select(vec4(1.0), t, odd);
    let y = turn.sine * select(t, vec4(1.0), odd);
    var made: ComplexCosh;
    made.modulus = max(x * x + y * y, vec4(1e-30));
    made.angle = turn.k * 1.57079633 + angle_of(y, x);
    made.t = t;
    let product = turn.sine * turn.cosine;
    made.turn = select(product, -product, odd);
    return made;
}
