// Tiles of a Gram matrix's lower triangle. Rows come in parts of part_rows, of which the first live[0] are samples. The
// importing file binds `live`, and as triangles `high` and `low`; its params have rows, part_rows, keep and zero.
fn gram_is_sample(row: u32) -> bool { return row % params.part_rows < live[0]; }

// Whether a tile that begins at row and column and has so many columns holds something of samples. A tile's rows are of
// one part.
fn gram_counts(row: u32, column: u32, columns: u32) -> bool {
    if (row >= params.rows || column >= triangle_width(row)) { return false; }
    let beyond = !gram_is_sample(column) && column % params.part_rows + columns <= params.part_rows;
    return gram_is_sample(row) && !beyond;
}

// Puts four products at a row's columns from `column` on; with keep = 1 adds them to the pair there.
fn gram_put(row: u32, column: u32, x: vec4<f32>) {
    if (!gram_is_sample(row)) { return; }
    let at = triangle_at(row, column) / 4u;
    var pair = array<vec4<f32>, 2>(x, vec4(0.0));
    if (params.keep == 1u) { pair = compensated_add(high[at], low[at], x, params.zero); }
    high[at] = pair[0];
    low[at] = pair[1];
}
