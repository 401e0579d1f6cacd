// Dropout of the weights in key_tile. The importing file imports key_tile and attention_dropout and binds `step`.

// Multiplies the weights of the tile of keys 8·group to 8·group + 7 by the mask, for the lane's queries, the first of
// which is at `position`.
fn drop_tile(pair: u32, position: u32, group: u32) {
    for (var i = 0u; i < QUERIES; i++) {
        let words = dropout_words(vec3(step[0], step[1], step[2]), pair, position + i, group);
        for (var k = 0u; k < TILE_KEYS; k++) { score[i * TILE_KEYS + k] *= dropout_factor(words, k); }
    }
}
