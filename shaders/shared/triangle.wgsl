// Lower triangle of a matrix in bands of 64 rows. Band i begins at 2048·i·(i + 1) and has rows of 64·(i + 1) elements,
// so that a matrix of fewer rows is a prefix of a larger one.
fn triangle_width(row: u32) -> u32 {
    return (row / 64u + 1u) * 64u;
}
fn triangle_at(row: u32, column: u32) -> u32 {
    let band = row / 64u;
    return 2048u * band * (band + 1u) + (row % 64u) * triangle_width(row) + column;
}
