// Online softmax of one query: x = largest score so far, y = Σ exp(score − largest) (Milakov & Gimelshein,
// arXiv:1805.02867). A masked score leaves the state bitwise unchanged.
const ONLINE_START: vec2<f32> = vec2(-1e30, 0.0);

// The state after one more score. z is the factor of earlier terms, w the weight of the new term. One of the two is 1,
// so that one exponential suffices.
fn online_add(state: vec2<f32>, score: f32, counts: bool) -> vec4<f32> {
    let seen = select(ONLINE_START.x, score, counts);
    let rises = seen > state.x;
    let ratio = exp(-abs(seen - state.x));
    let before = select(1.0, ratio, rises);
    let weight = select(0.0, select(ratio, 1.0, rises), counts);
    return vec4(max(seen, state.x), state.y * before + weight, before, weight);
}
