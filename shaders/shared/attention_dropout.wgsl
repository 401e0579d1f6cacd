// Mask of dropout on the probabilities of attention, 0 or 1 / (1 − rate):
//
//   factor_ij = word ≥ dropped ? factor : 0        word = philox(counter = (b·H + h, ⌊j/4⌋, i, step), key)[j mod 4]
//
// with key = seed + (site, 2), so that each site has its own random numbers. The importing file imports philox, binds
// `step` and has `dropped`, `factor`, `site` and `first_sample` in its parameters.
const DROPOUT: u32 = 0u; // spec 1

fn attention_mask(sample: u32, head: u32, i: u32, j: u32) -> f32 {
    if (DROPOUT == 0u) { return 1.0; }
    let row = (params.first_sample + sample) * params.heads + head;
    let words = philox(vec4(row, j / 4u, i, step[2]), vec2(step[0] + params.site, step[1] + 2u));
    return select(0.0, params.factor, words[j % 4u] >= params.dropped);
}
