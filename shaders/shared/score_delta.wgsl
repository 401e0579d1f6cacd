// Softmax statistics and δ_i = d_out_i · out_i of every query of a head, for a cluster. The importing file imports
// score_tile, score_product, score_rows and attention_dropout.
const ROWS: u32 = select(160u, TILE, TILE == 16u);

// lse_i · log₂ e and δ_i of every query, and with DROPOUT the bits of the mask of a block
var<workgroup> of_row: array<vec2<f32>, CLUSTERS * (ROWS + DROPOUT * TILE)>;

// Writes those of TILE queries from `first` on, `rows` of d_out and `out`, to of_row from `to` on. The head's sample begins
// at `first_row`.
fn put_deltas(lane: Lane, rows: Rows, to: u32, first: u32, first_row: u32, head: u32, stores: bool) {
    var product = 0.0;
    for (var c = 0u; c < params.parts; c += TILE_PARTS) {
        load_products(lane, rows, chunk_at(lane, c));
        workgroupBarrier();
        if (lane.index < TILE) { product += left_sum(lane, lane.index, min(TILE_PARTS, params.parts - c)); }
        workgroupBarrier();
    }
    if (lane.index < TILE && first + lane.index < params.tokens) {
        let at = (first_row + first + lane.index) * params.heads + head;
        of_row[to + first + lane.index] = vec2(lse[at] * LOG2_E, product);
        if (stores) { delta[at] = product; }
    }
    workgroupBarrier();
}
