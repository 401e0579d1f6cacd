// Tile of one head that invocation or cluster `index` owns: `size` consecutive rows of one sample of `tokens` tokens.
struct HeadTile {
    sample: u32,
    head: u32,
    // First row, within the sample.
    first: u32,
}

fn head_tile(index: u32, heads: u32, tokens: u32, size: u32) -> HeadTile {
    let tiles = (tokens + size - 1u) / size;
    return HeadTile(index / heads / tiles, index % heads, index / heads % tiles * size);
}
