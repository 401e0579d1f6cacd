// cos x and sin x with an absolute error of 2e-7 for |x| < 8192. Compilers drop three of the four equal turns.
fn phase_factor(x: f32) -> vec2<f32> {
    let turn = quarter_turn(vec4(x));
    let quarter = i32(turn.k.x) & 3;
    let turned = select(vec2(turn.cosine.x, turn.sine.x), vec2(-turn.sine.x, turn.cosine.x), (quarter & 1) == 1);
    return select(turned, -turned, quarter >= 2);
}
