// Rows of a head, loaded from `qkv`, `d_out` and `out` into the tiles of a cluster, and sums stored to `d_qkv`.

// Vectors of a buffer that a lane accesses: index of the first one, of the same one in the last row of the sample, and
// distance between two.
struct Rows { first: u32, last: u32, step: u32 }

// Vectors of rows of `width` vectors, from row `first` to row `last`, `step` rows apart.
fn rows_of(first: u32, last: u32, step: u32, width: u32, column: u32) -> Rows {
    return Rows(first * width + column, last * width + column, step * width);
}

// The same, `distance` vectors further.
fn rows_from(rows: Rows, distance: u32) -> Rows {
    return Rows(rows.first + distance, rows.last, rows.step);
}

// Distance to the chunk from part `chunk` on. In the last chunk, lanes past the end of the head repeat the last part.
fn chunk_at(lane: Lane, chunk: u32) -> u32 {
    if (PARTS % TILE_PARTS == 0u) { return chunk; }
    return min(chunk + lane.column, PARTS - 1u) - lane.column;
}

// Vector `column` further than `slot` of rows of qkv, or of d_out. Past the end, the last row is repeated.
fn row_part(rows: Rows, slot: u32, column: u32, of_d_out: bool) -> vec4<f32> {
    let at = min(rows.first + slot * rows.step, rows.last) + column;
    if (of_d_out) { return d_out[at]; }
    return qkv[at];
}

// Loads rows into the left tile.
fn load_left(lane: Lane, rows: Rows, column: u32, of_d_out: bool) {
    for (var load = 0u; load < params.loads; load++) {
        var values: array<vec4<f32>, SLOTS>;
        for (var l = 0u; l < SLOTS; l++) { values[l] = row_part(rows, load * SLOTS + l, column, of_d_out); }
        for (var l = 0u; l < SLOTS; l++) { left_put(lane, load * SLOTS + l, values[l]); }
    }
}

// Loads rows into the left tile and rows of qkv into the right tile.
fn load_tiles(lane: Lane, left: Rows, left_column: u32, of_d_out: bool, right: Rows, right_column: u32) {
    for (var load = 0u; load < params.loads; load++) {
        var lefts: array<vec4<f32>, SLOTS>;
        var rights: array<vec4<f32>, SLOTS>;
        for (var l = 0u; l < SLOTS; l++) {
            lefts[l] = row_part(left, load * SLOTS + l, left_column, of_d_out);
            rights[l] = row_part(right, load * SLOTS + l, right_column, false);
        }
        for (var l = 0u; l < SLOTS; l++) {
            left_put(lane, load * SLOTS + l, lefts[l]);
            right_put(lane, load * SLOTS + l, rights[l]);
        }
    }
}

// Loads products of d_out and `out` into the left tile.
fn load_products(lane: Lane, rows: Rows, column: u32) {
    for (var load = 0u; load < params.loads; load++) {
        for (var l = 0u; l < SLOTS; l++) {
            let at = min(rows.first + (load * SLOTS + l) * rows.step, rows.last) + column;
            left_put(lane, load * SLOTS + l, d_out[at] * out[at]);
        }
    }
}

// Stores the sums of a product, `column` vectors further, or adds to what the same lane has stored there.
fn store(lane: Lane, rows: Rows, column: u32, sum: mat4x4<f32>, counts: bool, adds: bool) {
    sums_put(lane, sum);
    for (var l = 0u; l < SUMS; l++) {
        let at = rows.first + l * rows.step;
        var value = sums_get(lane, sum, l);
        if (counts && at <= rows.last && adds) { value += d_qkv[at + column]; }
        if (counts && at <= rows.last) { d_qkv[at + column] = value; }
    }
}

// Stores blockᵀ · left tile into rows of keys, for the chunk from part `chunk` on.
fn store_transposed(lane: Lane, rows: Rows, chunk: u32, column: u32, counts: bool, adds: bool) {
    for (var w = 0u; w < WIDE; w++) {
        let sum = transposed_product(lane, params.steps, w);
        store(lane, rows, column + chunk + SIDE * w, sum, counts && sum_counts(lane, chunk, w), adds);
    }
}

// The same for block · left tile and rows of queries.
fn store_product(lane: Lane, rows: Rows, chunk: u32, counts: bool, adds: bool) {
    for (var w = 0u; w < WIDE; w++) {
        let sum = product_of_block(lane, params.steps, w);
        store(lane, rows, chunk + SIDE * w, sum, counts && sum_counts(lane, chunk, w), adds);
    }
}
