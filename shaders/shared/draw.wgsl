// Drawing of an outcome v of a patch from its logits, by inverse transform sampling:
//
//   token = the first v with Σ_{w ≤ v} exp(logits[w] − max) > u · Σ_w exp(logits[w] − max)        u = uniform(word)
//
// Sums are over the outcomes that the sector allows. The importing file defines `draw_logit(at)`, and imports philox and
// sector.
struct Draw { token: u32, top: f32, sum: f32 }

fn draw(start: u32, outcomes: u32, room: Room, word: u32) -> Draw {
    var top = LOWEST;
    for (var v = 0u; v < outcomes; v++) {
        top = max(top, select(LOWEST, draw_logit(start + v), sector_allows(room, v)));
    }
    var sum = 0.0;
    for (var v = 0u; v < outcomes; v++) {
        sum += select(0.0, exp(draw_logit(start + v) - top), sector_allows(room, v));
    }
    let threshold = philox_uniform(word) * sum;
    // Rounding can leave the last partial sum at or below the threshold. The last outcome of nonzero weight is then
    // taken.
    var partial = 0.0;
    var token = 0u;
    for (var v = 0u; v < outcomes; v++) {
        let weight = select(0.0, exp(draw_logit(start + v) - top), sector_allows(room, v));
        if (partial <= threshold && weight > 0.0) { token = v; }
        partial += weight;
    }
    return Draw(token, top, sum);
}

// log P of an outcome; NEG_LARGE outside of the sector.
fn draw_log_p(drawn: Draw, start: u32, token: u32, room: Room) -> f32 {
    return select(NEG_LARGE, draw_logit(start + token) - drawn.top - log(drawn.sum), sector_allows(room, token));
}
