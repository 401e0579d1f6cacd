// Tiled attention with online softmax, as in FlashAttention-2 (Dao, arXiv:2307.08691): 64 queries per workgroup, one per
// invocation with its sums in registers, and tiles of keys and values in workgroup memory. The backward pass recomputes
// the probabilities: d_q by query over tiles of keys, d_k and d_v by key over tiles of queries.

const B: u32 = 2u;       // spec: samples
const H: u32 = 4u;       // spec: heads of queries
const HK: u32 = 2u;      // spec: heads of keys and values
const S: u32 = 64u;      // spec: queries
const SK: u32 = 64u;     // spec: keys
const D: u32 = 16u;      // spec: width of a head
const CAUSAL: u32 = 1u;  // spec
const BITS: u32 = 32u;   // spec: of an element
alias T = f32; // f16 if BITS is 16

const_assert D % 4u == 0u && D <= 256u;

@group(0) @binding(0) var<storage, read> q: array<vec4<T>>;              // (B, H, S, D)
@group(0) @binding(1) var<storage, read> k: array<vec4<T>>;              // (B, HK, SK, D)
@group(0) @binding(2) var<storage, read> v: array<vec4<T>>;              // (B, HK, SK, D)
@group(0) @binding(3) var<storage, read_write> o: array<vec4<T>>;        // (B, H, S, D)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;          // (B, H, S)
@group(0) @binding(5) var<storage, read> d_o: array<vec4<T>>;            // (B, H, S, D)
@group(0) @binding(6) var<storage, read_write> d_q: array<vec4<T>>;      // (B, H, S, D)
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<T>>;      // (B, HK, SK, D)
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<T>>;      // (B, HK, SK, D)
@group(0) @binding(9) var<storage, read_write> delta: array<f32>;        // (B, H, S): d_o · o

const elements_delta = B * H * S;
const ROWS = 64u;
const grid = vec3u((S + ROWS - 1u) / ROWS, H, B);
const grid_backward_keys = vec3u((SK + ROWS - 1u) / ROWS, HK, B);

const VECTORS = D / 4u;
// Rows of two tiles in 8 KiB, and at most 32.
const TILE = min(32u, 1024u / D);
const GROUP = H / HK;
const SCALE = 1.0 / sqrt(f32(D));

var<workgroup> tile_a: array<vec4<f32>, TILE * VECTORS>;
var<workgroup> tile_b: array<vec4<f32>, TILE * VECTORS>;
var<workgroup> tile_lse: array<f32, TILE>;
var<workgroup> tile_delta: array<f32, TILE>;

// Number of keys that query i sees.
fn seen(i: u32) -> u32 { return select(SK, SK - S + min(i, S - 1u) + 1u, CAUSAL == 1u); }

// Keys and values from row `first` on, zeros from row `end` on.
fn load_keys(first: u32, end: u32, local: u32) {
    for (var at = local; at < TILE * VECTORS; at += ROWS) {
        let row = first + at / VECTORS;
        let from_row = min(row, end - 1u) * VECTORS + at % VECTORS;
        tile_a[at] = select(vec4<f32>(), vec4<f32>(k[from_row]), row < end);
        tile_b[at] = select(vec4<f32>(), vec4<f32>(v[from_row]), row < end);
    }
}

@compute @workgroup_size(ROWS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = group.x * ROWS + local;
    let row = (group.z * H + group.y) * S + min(i, S - 1u);
    let keys = (group.z * HK + group.y / GROUP) * SK;
    var own: array<vec4<f32>, VECTORS>;
    var sums: array<vec4<f32>, VECTORS>;
    for (var e = 0u; e < VECTORS; e++) { own[e] = SCALE * vec4<f32>(q[row * VECTORS + e]); }
    var largest = -1e30;
    var total = 0.0;
    let count = seen(i);
    let end = seen(group.x * ROWS + ROWS - 1u);
    for (var first = 0u; first < end; first += TILE) {
        load_keys(keys + first, keys + SK, local);
        workgroupBarrier();
        for (var j = 0u; j < min(TILE, end - first); j++) {
            var score = 0.0;
            for (var e = 0u; e < VECTORS; e++) { score += dot(own[e], tile_a[j * VECTORS + e]); }
            score = select(-1e30, score, first + j < count);
            if (score > largest) {
                let factor = exp(largest - score);
                total *= factor;
                for (var e = 0u; e < VECTORS; e++) { sums[e] *= factor; }
                largest = score;
            }
            let p = select(0.0, exp(score - largest), first + j < count);
            total += p;
            for (var e = 0u; e < VECTORS; e++) { sums[e] += p * tile_b[j * VECTORS + e]; }
        }
        workgroupBarrier();
    }
    if (i >= S) { return; }
    for (var e = 0u; e < VECTORS; e++) { o[row * VECTORS + e] = vec4<T>(sums[e] / total); }
    lse[row] = largest + log(total);
}

@compute @workgroup_size(ROWS)
fn backward_delta(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = group.x * ROWS + local;
    if (i >= S) { return; }
    let row = (group.z * H + group.y) * S + i;
    var sum = 0.0;
    for (var e = 0u; e < VECTORS; e++) {
        sum += dot(vec4<f32>(d_o[row * VECTORS + e]), vec4<f32>(o[row * VECTORS + e]));
    }
    delta[row] = sum;
}

@compute @workgroup_size(ROWS)
fn backward_queries(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = group.x * ROWS + local;
    let row = (group.z * H + group.y) * S + min(i, S - 1u);
    let keys = (group.z * HK + group.y / GROUP) * SK;
    var own: array<vec4<f32>, VECTORS>;
    var slope: array<vec4<f32>, VECTORS>;
    var sums: array<vec4<f32>, VECTORS>;
    for (var e = 0u; e < VECTORS; e++) {
        own[e] = vec4<f32>(q[row * VECTORS + e]);
        slope[e] = vec4<f32>(d_o[row * VECTORS + e]);
    }
    let end = seen(group.x * ROWS + ROWS - 1u);
    for (var first = 0u; first < end; first += TILE) {
        load_keys(keys + first, keys + SK, local);
        workgroupBarrier();
        for (var j = 0u; j < min(TILE, end - first); j++) {
            if (first + j >= seen(i)) { break; }
            var score = 0.0;
            var d_p = 0.0;
            for (var e = 0u; e < VECTORS; e++) {
                score += dot(own[e], tile_a[j * VECTORS + e]);
                d_p += dot(slope[e], tile_b[j * VECTORS + e]);
            }
            let d_score = exp(SCALE * score - lse[row]) * (d_p - delta[row]) * SCALE;
            for (var e = 0u; e < VECTORS; e++) { sums[e] += d_score * tile_a[j * VECTORS + e]; }
        }
        workgroupBarrier();
    }
    if (i >= S) { return; }
    for (var e = 0u; e < VECTORS; e++) { d_q[row * VECTORS + e] = vec4<T>(sums[e]); }
}

@compute @workgroup_size(ROWS)
fn backward_keys(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let j = group.x * ROWS + local;
    let key = (group.z * HK + group.y) * SK + min(j, SK - 1u);
    var own_k: array<vec4<f32>, VECTORS>;
    var own_v: array<vec4<f32>, VECTORS>;
    var sums_k: array<vec4<f32>, VECTORS>;
    var sums_v: array<vec4<f32>, VECTORS>;
    for (var e = 0u; e < VECTORS; e++) {
        own_k[e] = vec4<f32>(k[key * VECTORS + e]);
        own_v[e] = vec4<f32>(v[key * VECTORS + e]);
    }
    // Tiles of queries before the first one that sees a key of this workgroup are left out.
    let begin = select(0u, max(group.x * ROWS, SK - S) - (SK - S), CAUSAL == 1u) / TILE * TILE;
    for (var h = group.y * GROUP; h < (group.y + 1u) * GROUP; h++) {
        let rows = (group.z * H + h) * S;
        for (var first = begin; first < S; first += TILE) {
            for (var at = local; at < TILE * VECTORS; at += ROWS) {
                let from_row = (rows + min(first + at / VECTORS, S - 1u)) * VECTORS + at % VECTORS;
                tile_a[at] = vec4<f32>(q[from_row]);
                tile_b[at] = vec4<f32>(d_o[from_row]);
            }
            for (var at = local; at < TILE; at += ROWS) {
                let from_row = rows + min(first + at, S - 1u);
                tile_lse[at] = lse[from_row];
                tile_delta[at] = delta[from_row];
            }
            workgroupBarrier();
            for (var i = 0u; i < min(TILE, S - first); i++) {
                if (j >= seen(first + i)) { continue; }
                var score = 0.0;
                var d_p = 0.0;
                for (var e = 0u; e < VECTORS; e++) {
                    score += dot(own_k[e], tile_a[i * VECTORS + e]);
                    d_p += dot(own_v[e], tile_b[i * VECTORS + e]);
                }
                let p = exp(SCALE * score - tile_lse[i]);
                let d_score = p * (d_p - tile_delta[i]) * SCALE;
                for (var e = 0u; e < VECTORS; e++) {
                    sums_k[e] += d_score * tile_a[i * VECTORS + e];
                    sums_v[e] += p * tile_b[i * VECTORS + e];
                }
            }
            workgroupBarrier();
        }
    }
    if (j >= SK) { return; }
    for (var e = 0u; e < VECTORS; e++) {
        d_k[key * VECTORS + e] = vec4<T>(sums_k[e]);
        d_v[key * VECTORS + e] = vec4<T>(sums_v[e]);
    }
}
