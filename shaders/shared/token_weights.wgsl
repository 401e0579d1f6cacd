// Keys, weights and shares of the logits of a row, for sampling of tokens; see token_sample. The importing file has
// LANES, `logits` as vec4s, and `tokens`, `columns4` and `rate` in its parameters.
const SIGN: u32 = 0x80000000u;
const INFINITE: u32 = 0x7f800000u;

var<workgroup> sums: array<f32, LANES>;

// Row of logits, and the largest key in it.
struct Row { start: u32, local: u32, top: u32 }

// Keys of four logits: equal for 0 and −0, largest for NaN, 0 for columns that are no tokens.
fn keys(start: u32, at: u32) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(logits[start + at]);
    let ordered = select(bits | vec4(SIGN), ~bits, bits > vec4(SIGN));
    let key = select(ordered, vec4(0xffffffffu), (bits & vec4(~SIGN)) > vec4(INFINITE));
    return select(key, vec4(0u), 4u * at + vec4(0u, 1u, 2u, 3u) >= vec4(params.tokens));
}

fn logit(key: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(select(~key, key ^ vec4(SIGN), key >= vec4(SIGN)));
}

// Logarithms of weights. Below −200, a weight is 0.
fn log_weights(row: Row, key: vec4<u32>) -> vec4<f32> {
    return max((logit(key) - logit(vec4(row.top))) * params.rate, vec4(-200.0));
}

// Σ weight of the keys that are at least `least`.
fn total(row: Row, least: u32) -> f32 {
    var sum = 0.0;
    for (var at = row.local; at < params.columns4; at += LANES) {
        let key = keys(row.start, at);
        sum += dot(select(vec4(0.0), exp(log_weights(row, key)), key >= vec4(least)), vec4(1.0));
    }
    workgroupBarrier();
    sums[row.local] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if (row.local < half) { sums[row.local] += sums[row.local + half]; }
        workgroupBarrier();
    }
    return sums[0];
}

// Shares of the keys that are at least `least`, or ones if the scale, 2³¹ / Σ weight, is 0.
fn shares_of(row: Row, key: vec4<u32>, least: u32, scale: f32) -> vec4<u32> {
    let share = vec4<u32>(exp(log_weights(row, key)) * scale + 0.5);
    return select(vec4(0u), select(share, vec4(1u), scale == 0.0), key >= vec4(least));
}
