// Rows that differ from their base sample from position s on, in parts of `period` positions that do not see each other.
// The importing file imports remainder. row = (s, position): s as it is within the part where the row stands.
fn suffix_entry(row: vec2<u32>, period: u32) -> vec2<u32> {
    return vec2(max(row.x, row.y - remainder(row.y, period)), row.y);
}

// The keys x ≤ j < y that an entry shares with its base sample; where its part is changed from the beginning there is none,
// and x is past every position.
fn suffix_shared(entry: vec2<u32>, period: u32) -> vec2<u32> {
    let first = entry.x - remainder(entry.x, period);
    return select(vec2(first, entry.x), vec2(0xffffffffu, 0u), first == entry.x);
}
