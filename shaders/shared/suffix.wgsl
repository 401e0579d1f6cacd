// Rows of sequences that differ from their base sample from position s on. Positions attend only within blocks of
// `period` positions. For row = (s, position), returns the same with s clamped to the start of the row's block. The
// importing file imports remainder.
fn suffix_entry(row: vec2<u32>, period: u32) -> vec2<u32> {
    return vec2(max(row.x, row.y - remainder(row.y, period)), row.y);
}

// Range x ≤ j < y of the keys that an entry shares with its base sample. If its block is changed from the beginning,
// the range is empty and x is past every position.
fn suffix_shared(entry: vec2<u32>, period: u32) -> vec2<u32> {
    let first = entry.x - remainder(entry.x, period);
    return select(vec2(first, entry.x), vec2(0xffffffffu, 0u), first == entry.x);
}
