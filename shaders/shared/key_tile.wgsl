// Softmax attention of the QUERIES queries of a lane over tiles of TILE_KEYS keys and values in workgroup memory. All
// scores of a tile come before one maximum, one factor of the earlier terms and the weighted values (Dao,
// arXiv:2307.08691). Scores are in units of log 2: q contains log₂(e)/√D.
//
// The importing file imports head, defines QUERIES, PAIRS, the number of pairs of a sample and a head in a workgroup,
// and SPLIT, the number of lanes that share queries: a lane has every SPLIT-th part of their heads. It declares `rows`
// in workgroup memory, in which a key of all pairs takes KEY_STRIDE vectors: for each pair the parts of the key, those
// of the value, and padding so that rows begin in different banks.
const LANES: u32 = 64u;
const PAIR_LANES: u32 = LANES / PAIRS;     // of a pair
const OWN: u32 = max(1u, PARTS / SPLIT);   // parts of a lane
const WIDE: u32 = PAIRS * PARTS;           // lanes that load a key and a value of all pairs, a part of each
const GROUPS: u32 = LANES / WIDE;          // keys that all lanes load
const TILE_KEYS: u32 = 8u;
const ROW: u32 = 2u * PARTS + 1u;
const KEY_STRIDE: u32 = PAIRS * ROW;
const LOG2_E: f32 = 1.4426950408889634;
const LOG_2: f32 = 0.6931471805599453;
const SMALLEST: f32 = -1e30;               // start of the maximum
const MASKED: f32 = -3e38;                 // has the weight 0 whatever the maximum is

var<private> q: array<vec4<f32>, QUERIES * OWN>;
var<private> sum: array<vec4<f32>, QUERIES * OWN>;   // Σ weight · value
var<private> score: array<f32, QUERIES * TILE_KEYS>;
var<private> largest: array<f32, QUERIES>;
var<private> total: array<f32, QUERIES>;             // Σ weight

fn put_row(at: u32, key: vec4<f32>, value: vec4<f32>) {
    rows[at] = key;
    rows[at + PARTS] = value;
}

fn start_queries() {
    for (var i = 0u; i < QUERIES; i++) {
        largest[i] = SMALLEST;
        total[i] = 0.0;
        for (var c = 0u; c < OWN; c++) { sum[i * OWN + c] = vec4(0.0); }
    }
}

// Scores of the tile whose first key is at `at` in `rows`, as far as the lane's parts go.
fn score_tile(at: u32) {
    for (var k = 0u; k < TILE_KEYS; k++) {
        for (var i = 0u; i < QUERIES; i++) { score[i * TILE_KEYS + k] = 0.0; }
        for (var c = 0u; c < OWN; c++) {
            let key = rows[at + k * KEY_STRIDE + c * SPLIT];
            for (var i = 0u; i < QUERIES; i++) {
                let s = i * TILE_KEYS + k;
                let a = q[i * OWN + c];
                score[s] = fma(a.w, key.w, fma(a.z, key.z, fma(a.y, key.y, fma(a.x, key.x, score[s]))));
            }
        }
    }
}

// Replaces the scores of the tile by weights, and adds these. Query i sees the keys seen[i].x to seen[i].y − 1 of the
// tile. Returns the factors of the earlier terms.
fn weigh_tile(seen: array<vec2<i32>, QUERIES>) -> array<f32, QUERIES> {
    var before: array<f32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
        var next = largest[i];
        for (var k = 0u; k < TILE_KEYS; k++) {
            let s = i * TILE_KEYS + k;
            score[s] = select(MASKED, score[s], i32(k) >= seen[i].x && i32(k) < seen[i].y);
            next = max(next, score[s]);
        }
        before[i] = exp2(largest[i] - next);
        largest[i] = next;
        var added = 0.0;
        for (var k = 0u; k < TILE_KEYS; k++) {
            let weight = exp2(score[i * TILE_KEYS + k] - next);
            score[i * TILE_KEYS + k] = weight;
            added += weight;
        }
        total[i] = fma(total[i], before[i], added);
    }
    return before;
}

// Adds the values of the tile with their weights.
fn add_tile(at: u32, before: array<f32, QUERIES>) {
    for (var c = 0u; c < OWN; c++) {
        for (var i = 0u; i < QUERIES; i++) { sum[i * OWN + c] *= before[i]; }
        for (var k = 0u; k < TILE_KEYS; k++) {
            let value = rows[at + k * KEY_STRIDE + PARTS + c * SPLIT];
            for (var i = 0u; i < QUERIES; i++) {
                sum[i * OWN + c] = fma(vec4(score[i * TILE_KEYS + k]), value, sum[i * OWN + c]);
            }
        }
    }
}
