// Exchange of partial scores among the SPLIT adjacent lanes that share queries. The importing file imports key_tile.
const SCORES4: u32 = QUERIES * TILE_KEYS / 4u;
var<workgroup> partial: array<vec4<f32>, select(1u, SCORES4 * LANES, SPLIT > 1u)>;

// Replaces the scores of the lane, the one with index `split` of those that share its queries, by the sums over them.
fn exchange_scores(local: u32, split: u32) {
    for (var v = 0u; v < SCORES4; v++) {
        partial[v * LANES + local] = vec4(score[4u * v], score[4u * v + 1u], score[4u * v + 2u], score[4u * v + 3u]);
    }
    workgroupBarrier();
    for (var v = 0u; v < SCORES4; v++) {
        var all = vec4(0.0);
        for (var s = 0u; s < SPLIT; s++) { all += partial[v * LANES + min(local - split + s, LANES - 1u)]; }
        for (var e = 0u; e < 4u; e++) { score[4u * v + e] = all[e]; }
    }
    workgroupBarrier();
}
