// Running softmax of one query: x = largest score so far, y = Σ exp(score − largest) (Milakov & Gimelshein,
// arXiv:1805.02867). A masked score leaves it unchanged to the last bit.
const ONLINE_START: vec2<f32> = vec2(-1e30, 0.0);

// The state after one more score; z is what earlier terms must be multiplied by, w the weight of the new one.
fn online_add(state: vec2<f32>, score: f32, counts: bool) -> vec4<f32> {
    let largest = max(state.x, select(ONLINE_START.x, score, counts));
    let before = exp(state.x - largest);
    let weight = select(0.0, exp(score - largest), counts);
    return vec4(largest, state.y * before + weight, before, weight);
}
