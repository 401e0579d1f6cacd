// Attention of one patch of the rows of transformer_decode, KEYS keys at a time.
const KEYS: u32 = 8u;
const SMALLEST: f32 = -1e30;              // start of the maximum
const MASKED: f32 = -3e38;                // has the weight 0 whatever the maximum is

// The vec4 in the cache of the first query of patch t of a sample.
fn cache_at(layer: u32, sample: u32, t: u32) -> u32 {
    return layer * params.layer_cache + (sample * params.patches + t) * 3u * WIDTH4;
}

// Queries, keys and values of patch t from the rows at `source`: into the cache, and the queries also into ATTENDED.
fn project(source: u32, layer: u32, t: u32) {
    for (var i = lane; i < 3u * OUTPUTS; i += LANES) {
        let row = i / (3u * WIDTH4);
        let o4 = i % (3u * WIDTH4);
        var value = linear(source + row * WIDTH4, layer * params.layer_weights, 3u * WIDTH4, o4);
        if (CACHE_BITS == 16u) { value = clamp(value, vec4(-CACHE_LARGEST), vec4(CACHE_LARGEST)); }
        let stored = vec4<Cache>(value);
        if (o4 < WIDTH4) { rows[ATTENDED + row * WIDTH4 + o4] = vec4<f32>(stored) * params.scale; }
        if (is_stored(row)) { cache[cache_at(layer, sample_of(row), t) + o4] = stored; }
    }
    storageBarrier();
    workgroupBarrier();
}

// Attention of patch t from the queries in ATTENDED, which its output replaces.
fn attend(layer: u32, t: u32) {
    let head4 = WIDTH4 / params.heads;
    // The key of patch 0 that the own scores belong to, and the value of patch 0 of the own output.
    let values = cache_at(layer, sample_of(min(own_row, ROWS - 1u)), 0u) + 2u * WIDTH4 + own_column;
    let scores = (min(own_row, ROWS - 1u) * params.heads + own_column / head4) * (KEYS / 4u);
    var sum = vec4(0.0);
    var total = 0.0;
    var largest = SMALLEST;
    for (var first = 0u; first <= t; first += KEYS) {
        for (var i = lane; i < ROWS * params.heads * (KEYS / 4u); i += LANES) {
            // Four keys of a head of a row.
            let head = i % params.heads;
            let row = i / params.heads % ROWS;
            let four = i / (params.heads * ROWS);
            let query = ATTENDED + row * WIDTH4 + head * head4;
            let keys = cache_at(layer, sample_of(row), 0u) + WIDTH4 + head * head4;
            var score: vec4<f32>;
            for (var e = 0u; e < 4u; e++) {
                let key = first + 4u * four + e;
                let at = keys + min(key, t) * 3u * WIDTH4;
                var product = 0.0;
                for (var c = 0u; c < head4; c++) { product += dot(rows[query + c], vec4<f32>(cache[at + c])); }
                score[e] = select(MASKED, product, key <= t);
            }
            scratch[(row * params.heads + head) * (KEYS / 4u) + four] = score;
        }
        workgroupBarrier();
        if (lane < OUTPUTS) {
            var four = scratch[scores];
            for (var k = 1u; k < KEYS / 4u; k++) { four = max(four, scratch[scores + k]); }
            let next = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
            let factor = exp(largest - next);
            largest = next;
            sum *= factor;
            total *= factor;
            for (var k = 0u; k < KEYS / 4u; k++) {
                let weight = exp(scratch[scores + k] - next);
                for (var e = 0u; e < 4u; e++) {
                    let at = values + min(first + 4u * k + e, t) * 3u * WIDTH4;
                    total += weight[e];
                    sum += weight[e] * vec4<f32>(cache[at]);
                }
            }
        }
        workgroupBarrier();
    }
    if (lane < OUTPUTS) { rows[ATTENDED + lane] = sum / total; }
    workgroupBarrier();
}
