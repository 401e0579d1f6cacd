// Tiles of the lower triangle of a Gram matrix. Rows are divided into parts of part_rows, of which the first live[0]
// are samples. The importing file binds `live` and the triangles `high` and `low`; its params contain rows, part_rows,
// keep and zero.
fn gram_is_sample(row: u32) -> bool { return row % params.part_rows < live[0]; }

// Whether the tile of `columns` columns that begins at row and column contains elements of samples. The rows of a tile
// belong to one part.
fn gram_counts(row: u32, column: u32, columns: u32) -> bool {
    if (row >= params.rows || column >= triangle_width(row)) { return false; }
    let beyond = !gram_is_sample(column) && column % params.part_rows + columns <= params.part_rows;
    return gram_is_sample(row) && !beyond;
}

// Stores four products of a row from `column` on. With keep = 1 adds them to the stored compensated pair.
fn gram_put(row: u32, column: u32, x: vec4<f32>) {
    if (!gram_is_sample(row)) { return; }
    let at = triangle_at(row, column) / 4u;
    var pair = array<vec4<f32>, 2>(x, vec4(0.0));
    if (params.keep == 1u) { pair = compensated_add(high[at], low[at], x, params.zero); }
    high[at] = pair[0];
    low[at] = pair[1];
}
