// Dropout of the weights in attention_block. The importing file imports that and attention_dropout and binds `step`.

// Multiplies the invocation's weights by the mask, in a tile of keys from 8·group on, for the query at `position`.
fn drop_weights(local: u32, pair: u32, position: u32, group: u32) {
    let own = local % QUERY_TILE;
    for (var l = local / QUERY_TILE * OWN; l < (local / QUERY_TILE + 1u) * OWN; l += 2u) {
        let words = dropout_words(vec3(step[0], step[1], step[2]), pair, position, group + l / 2u);
        for (var e = 0u; e < 2u; e++) {
            weights[own * KEY_LANES + ((l + e) ^ (own % SWIZZLE))] *= dropout_factors(words, e);
        }
    }
}
