// Mask of dropout for blocks of pairs of which a lane computes those of a query and 16 adjacent keys: 16 bits, in workgroup
// memory as a number, which f32 represents exactly. The importing file imports attention_dropout.

// Bits of keys 16·group to 16·group + 15 for query i of `pair`.
fn kept_bits(step: vec3<u32>, pair: u32, i: u32, group: u32) -> f32 {
    var bits = 0u;
    for (var g = 0u; g < 2u; g++) {
        let words = dropout_words(step, pair, i, 2u * group + g);
        for (var part = 0u; part < 2u; part++) {
            let four = select(vec4(0u), vec4(1u, 2u, 4u, 8u), dropout_keeps(words, part));
            bits |= ((four.x | four.y) | (four.z | four.w)) << (8u * g + 4u * part);
        }
    }
    return f32(bits);
}

// Factors of four pairs, each a bit of a number.
fn kept_factors(numbers: vec4<f32>, bits: vec4<u32>) -> vec4<f32> {
    return select(vec4(0.0), vec4(params.factor), (vec4<u32>(numbers) & (vec4(1u) << bits)) != vec4(0u));
}

// Factors of four of the 32 keys to which two numbers belong.
fn kept_factors_of(numbers: vec2<f32>, keys: vec4<u32>) -> vec4<f32> {
    return kept_factors(select(vec4(numbers.x), vec4(numbers.y), keys >= vec4(16u)), keys % 16u);
}
