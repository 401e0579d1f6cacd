// Mask of dropout on the probabilities of attention, 0 or 1 / (1 − rate):
//
//   factor_ij = number ≥ dropped ? factor : 0        dropped = rate · 2¹⁶
//   number = lower 16 bits, or upper ones for j mod 8 ≥ 4, of philox(counter = (b·H + h, ⌊j/8⌋, i, step), key)[j mod 4]
//
// in seven rounds, with key = seed + (site, 2), so that each site has its own random numbers. The words of a counter are
// thus for eight adjacent keys of a query. The importing file imports philox and has `heads`, `dropped`, `factor`,
// `site` and `first_sample` in its parameters. `step` are the seed (2) and the step number.
const DROPOUT: u32 = 0u; // spec 1

// Words for keys 8·group to 8·group + 7 of query i of `pair`, a sample and a head.
fn dropout_words(step: vec3<u32>, pair: u32, i: u32, group: u32) -> vec4<u32> {
    let row = params.first_sample * params.heads + pair;
    return philox_rounds(vec4(row, group, i, step.z), vec2(step.x + params.site, step.y + 2u), 7u);
}

// Whether the words keep keys 8·group + 4·part to 8·group + 4·part + 3, for part 0 or 1.
fn dropout_keeps(words: vec4<u32>, part: u32) -> vec4<bool> {
    return ((words >> vec4(16u * part)) & vec4(0xffffu)) >= vec4(params.dropped);
}

// Factors of these keys.
fn dropout_factors(words: vec4<u32>, part: u32) -> vec4<f32> {
    return select(vec4(0.0), vec4(params.factor), dropout_keeps(words, part));
}

// Factor of key j.
fn dropout_factor(words: vec4<u32>, j: u32) -> f32 {
    return dropout_factors(words, j / 4u % 2u)[j % 4u];
}
