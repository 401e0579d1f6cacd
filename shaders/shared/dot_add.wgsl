// sum + a · b, in the order of the elements. Some compilers turn `dot` into fewer multiply-adds and more additions.
fn dot_add(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
