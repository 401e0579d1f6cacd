// Threshold of the keys of a row for top-k and top-p, without sorting: a histogram of eight bits of the keys at a time,
// most significant first. The importing file has LANES and imports token_weights.
var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> sixteen: array<u32, 16>; // sums of 16 bins
var<workgroup> found: vec2<u32>; // bin, sum of the bins above

// Largest key at which the sum over keys from the largest one down reaches `goal`; `least` if none does.
fn threshold(row: Row, least: u32, goal: u32, scale: f32) -> u32 {
    var prefix = 0u;
    var above = 0u;
    for (var digit = 0u; digit < 4u; digit++) {
        let shift = 24u - 8u * digit;
        let known = 0xffffff00u << shift;
        for (var bin = row.local; bin < 256u; bin += LANES) { atomicStore(&bins[bin], 0u); }
        workgroupBarrier();
        for (var at = row.local; at < params.columns4; at += LANES) {
            let key = keys(row.start, at);
            let share = shares_of(row, key, least, scale);
            for (var c = 0u; c < 4u; c++) {
                if ((key[c] & known) == prefix && share[c] > 0u) {
                    atomicAdd(&bins[(key[c] >> shift) & 255u], share[c]);
                }
            }
        }
        workgroupBarrier();
        if (row.local < 16u) {
            var sum = 0u;
            for (var bin = 0u; bin < 16u; bin++) { sum += atomicLoad(&bins[16u * row.local + bin]); }
            sixteen[row.local] = sum;
        }
        workgroupBarrier();
        if (row.local == 0u) {
            var part = 15u;
            for (; part > 0u && above + sixteen[part] < goal; part--) { above += sixteen[part]; }
            var bin = 16u * part + 15u;
            for (; bin > 16u * part && above + atomicLoad(&bins[bin]) < goal; bin--) { above += atomicLoad(&bins[bin]); }
            found = vec2(bin, above);
        }
        workgroupBarrier();
        prefix |= found.x << shift;
        above = found.y;
    }
    return max(prefix, least);
}
