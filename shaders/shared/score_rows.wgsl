// Rows of a head, loaded from `qkv`, `d_out` and `out` into the tiles of a cluster, and sums stored to `d_qkv`.

// Vectors of a buffer that a lane accesses: index of the first one, of the same one in the last row of the sample, and
// distance between two.
struct Rows { first: u32, last: u32, step: u32 }

// The same, `distance` vectors further.
fn rows_from(rows: Rows, distance: u32) -> Rows {
    return Rows(rows.first + distance, rows.last, rows.step);
}

// Loads rows of qkv, `third` vectors further, into the left or the right tile. Past the end, the last row is repeated.
fn load_qkv(lane: Lane, rows: Rows, third: u32, left: bool) {
    for (var load = 0u; load < params.loads; load++) {
        for (var l = 0u; l < SLOTS; l++) {
            let slot = load * SLOTS + l;
            let value = qkv[min(rows.first + slot * rows.step, rows.last) + third];
            if (left) { left_put(lane, slot, value); } else { right_put(lane, slot, value); }
        }
    }
}

// Loads rows of d_out, or their products with `out`, into the left tile.
fn load_d_out(lane: Lane, rows: Rows, products: bool) {
    for (var load = 0u; load < params.loads; load++) {
        for (var l = 0u; l < SLOTS; l++) {
            let slot = load * SLOTS + l;
            let at = min(rows.first + slot * rows.step, rows.last);
            if (products) { left_put(lane, slot, d_out[at] * out[at]); } else { left_put(lane, slot, d_out[at]); }
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
