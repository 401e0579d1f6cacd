// Softmax attention of QUERY_TILE queries of a head by products of register blocks: constants, workgroup memory and the
// steps between which the importing file loads. It imports head and defines COLUMNS, a power of two from PARTS on.
//
// Each invocation has several roles. In the scores it owns BLOCK queries, query_lane + i·QUERY_LANES, and the keys
// 4·key_lane + j. In the softmax it owns OWN vectors of scores of query `own`, SHARE invocations to a query. In the
// output it owns OUT queries, row + i·ROWS, and part `column` of the head.
const QUERY_TILE: u32 = select(64u, 32u, COLUMNS == 32u);
const KEY_TILE: u32 = 2048u / QUERY_TILE;
const OUT: u32 = select(8u, 4u, COLUMNS == 8u);
const ROWS: u32 = QUERY_TILE / OUT;
const LANES: u32 = ROWS * COLUMNS;
const CHUNK: u32 = 4u;                      // parts of queries and keys in workgroup memory
const KEY_LANES: u32 = KEY_TILE / 4u;
const QUERY_LANES: u32 = LANES / KEY_LANES;
const BLOCK: u32 = QUERY_TILE / QUERY_LANES;
const SHARE: u32 = LANES / QUERY_TILE;
const SWIZZLE: u32 = min(ROWS, KEY_LANES);
const OWN: u32 = KEY_LANES / SHARE;
const KEY_ROW: u32 = CHUNK + 1u;            // padded, so that rows begin in different banks
const VALUE_KEYS: u32 = 256u / COLUMNS;     // values in workgroup memory
const LOG2_E: f32 = 1.4426950408889634;
const LOG_2: f32 = 0.6931471805599453;
const SMALLEST: f32 = -1e30;                // start of the maximum
const MASKED: f32 = -3e38;                  // has the weight 0 whatever the maximum is

// Queries (QUERY_TILE, CHUNK), then keys in rows of KEY_ROW, key k in row k % 4 · KEY_LANES + k / 4; or values.
var<workgroup> tile: array<vec4<f32>, QUERY_TILE * CHUNK + KEY_TILE * KEY_ROW>;
// Scores, then weights (QUERY_TILE, KEY_LANES); vector k of a query is at k ^ (query % SWIZZLE), in different banks.
var<workgroup> weights: array<vec4<f32>, QUERY_TILE * KEY_LANES>;
var<workgroup> partial: array<f32, LANES>;  // (SHARE, QUERY_TILE)
var<workgroup> factors: array<f32, QUERY_TILE>;

var<private> score: array<vec4<f32>, BLOCK>;
var<private> sum: array<vec4<f32>, OUT>;    // Σ weight · value
var<private> largest: f32;
var<private> total: f32;                    // Σ weight over the invocation's own vectors

fn start_block() {
    largest = SMALLEST;
    total = 0.0;
    for (var i = 0u; i < OUT; i++) { sum[i] = vec4(0.0); }
}

// Adds the products of the queries and keys in `tile` to the scores.
fn add_scores(local: u32) {
    let key_lane = local % KEY_LANES;
    let query_lane = local / KEY_LANES;
    for (var p = 0u; p < CHUNK; p++) {
        var k: array<vec4<f32>, 4>;
        for (var j = 0u; j < 4u; j++) {
            k[j] = tile[QUERY_TILE * CHUNK + (j * KEY_LANES + key_lane) * KEY_ROW + p];
        }
        for (var i = 0u; i < BLOCK; i++) {
            let q = tile[(i * QUERY_LANES + query_lane) * CHUNK + p];
            for (var j = 0u; j < 4u; j++) {
                let added = fma(q.y, k[j].y, fma(q.x, k[j].x, score[i][j]));
                score[i][j] = fma(q.w, k[j].w, fma(q.z, k[j].z, added));
            }
        }
    }
}

fn put_scores(local: u32) {
    let query_lane = local / KEY_LANES;
    let at = query_lane * KEY_LANES + ((local % KEY_LANES) ^ (query_lane % SWIZZLE));
    for (var i = 0u; i < BLOCK; i++) { weights[at + i * QUERY_LANES * KEY_LANES] = score[i]; }
}

// Replaces scores by weights, and the largest score and the sum of weights of query `own` by those with the tile. The
// query sees the keys from first to end − 1 of the tile. Scores are multiplied by `scale`, which contains log₂(e).
fn weigh(local: u32, first: i32, end: i32, scale: f32) {
    let own = local % QUERY_TILE;
    let share = local / QUERY_TILE;
    var weight: array<vec4<f32>, OWN>;
    var highest = SMALLEST;
    for (var l = 0u; l < OWN; l++) {
        let k = i32(4u * (share * OWN + l)) + vec4(0, 1, 2, 3);
        let scores = weights[own * KEY_LANES + ((share * OWN + l) ^ (own % SWIZZLE))] * scale;
        weight[l] = select(vec4(MASKED), scores, (k >= vec4(first)) & (k < vec4(end)));
        highest = max(highest, max(max(weight[l].x, weight[l].y), max(weight[l].z, weight[l].w)));
    }
    partial[local] = highest;
    workgroupBarrier();
    highest = largest;
    for (var s = 0u; s < SHARE; s++) { highest = max(highest, partial[s * QUERY_TILE + own]); }
    let factor = exp2(largest - highest);
    largest = highest;
    var added = vec4(0.0);
    for (var l = 0u; l < OWN; l++) {
        weight[l] = exp2(weight[l] - highest);
        weights[own * KEY_LANES + ((share * OWN + l) ^ (own % SWIZZLE))] = weight[l];
        added += weight[l];
    }
    total = fma(total, factor, (added.x + added.y) + (added.z + added.w));
    if (share == 0u) { factors[own] = factor; }
}

// Multiplies the output by the factors of its queries.
fn rescale(local: u32) {
    for (var i = 0u; i < OUT; i++) { sum[i] *= factors[i * ROWS + local / COLUMNS]; }
}

// Adds four values at `key` in `tile`, of keys 4·k to 4·k + 3 of the tile, with their weights.
fn add_values(local: u32, key: u32, k: u32) {
    let row = local / COLUMNS;
    var value: array<vec4<f32>, 4>;
    for (var j = 0u; j < 4u; j++) { value[j] = tile[(key + j) * COLUMNS + local % COLUMNS]; }
    let at = row * KEY_LANES + (k ^ (row % SWIZZLE));
    for (var i = 0u; i < OUT; i++) {
        let w = weights[at + i * ROWS * KEY_LANES];
        for (var j = 0u; j < 4u; j++) { sum[i] = fma(vec4(w[j]), value[j], sum[i]); }
    }
}

// Leaves the sum of weights of each query in `factors`.
fn finish_totals(local: u32) {
    partial[local] = total;
    workgroupBarrier();
    if (local < QUERY_TILE) {
        total = 0.0;
        for (var s = 0u; s < SHARE; s++) { total += partial[s * QUERY_TILE + local]; }
        factors[local] = total;
    }
    workgroupBarrier();
}
