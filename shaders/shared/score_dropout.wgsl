// Dropout of the block of scores of a cluster. The importing file imports score_tile, score_delta and dropout_block.

// Writes the bits of the pairs of queries from `first_i` on and keys from `first_j` on to of_row from `at` on.
fn keep_block(lane: Lane, at: u32, step: vec3<u32>, pair: u32, first_i: u32, first_j: u32) {
    let query = lane.index / (TILE / 16u);
    let group = lane.index % (TILE / 16u);
    of_row[at + query][group] = kept_bits(step, pair, first_i + query, first_j / 16u + group);
}

// Factors of row `m` of the lane's scores.
fn factors_of(lane: Lane, at: u32, m: u32) -> vec4<f32> {
    return kept_factors_of(of_row[at + lane.block_row + SIDE * m], lane.block_column + SIDE * vec4(0u, 1u, 2u, 3u));
}
