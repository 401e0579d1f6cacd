// Softmax attention of a window of query positions over the keys and values of a layer, causal or full: tiled variant
// in workgroup memory, for GPUs and narrow heads.
//
//   out[i] = Σ_j p_ij v_j        p_ij = exp(q_i · k_j / √D − lse_i)        lse_i = log Σ_j exp(q_i · k_j / √D)
//
// Position j of sample b is row b·stride + offset + j. Query i of a sample is at position first + i. Causal attention
// sums over j ≤ first + i, otherwise over all T. A workgroup owns PAIRS pairs of a sample and a head, of which adjacent
// ones are adjacent in memory. It loads CHUNK keys and values of all of them into workgroup memory along the contiguous
// axis. A lane owns QUERIES queries of a pair, in registers, and uses every vector that it reads for all of them. For
// wider heads, SPLIT adjacent lanes share queries, exchange partial scores and each own a part of the output.
//
// grid   ⌈B · H / PAIRS⌉ · ⌈n / (QUERIES · ⌊⌊64 / PAIRS⌋ / SPLIT⌋)⌉ workgroups of 64 invocations
// reads  qkv (rows, 3C) · with DROPOUT step: seed (2), step number, -
// makes  out (B·n, C) · lse (B·n, H)
// D is a multiple of 4·SPLIT.
#import grid
#import head
#import cache
#import key_tile
#import exchange_scores
#import philox
#import attention_dropout
#import dropout_tile
const QUERIES: u32 = 1u; // spec 2 4
const PAIRS: u32 = 1u; // spec 3 4
const SPLIT: u32 = 1u; // spec 2
const CHUNK: u32 = 8u * max(1u, 16u / (PAIRS * PARTS)); // keys in workgroup memory

struct Params {
    samples: u32, tokens: u32, heads: u32, first: u32, queries: u32, causal: u32, scale: f32, stride: u32, offset: u32,
    dropped: u32, factor: f32, site: u32, first_sample: u32,
    chunk: u32, // CHUNK, as a parameter to prevent drivers from unrolling loops
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<Cache>>;          // (rows, 3C)
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;      // (B·n, C)
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;            // (B·n, H)
@group(0) @binding(4) var<storage, read> step: array<u32>;                 // (4), with DROPOUT

var<workgroup> rows: array<vec4<f32>, CHUNK * KEY_STRIDE>;
const TILE_QUERIES: u32 = (PAIR_LANES / SPLIT) * QUERIES;

const ALL_LOAD: bool = LANES % WIDE == 0u && CHUNK % GROUPS == 0u;

// Index of the first part of the query of a pair at position 0.
fn pair_start(pair: u32) -> u32 {
    let at = min(pair, params.samples * params.heads - 1u);
    let sample = at / params.heads;
    return ((sample * params.stride + params.offset) * 3u * params.heads + at % params.heads) * PARTS;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (params.queries + TILE_QUERIES - 1u) / (TILE_QUERIES);
    let index = grid_index(group, groups);
    let first_pair = (index / tiles) * PAIRS;
    let first_query = (index % tiles) * TILE_QUERIES;
    let width4 = params.heads * PARTS;

    // The lane's queries. Past the window, the last query is recomputed and not stored.
    let own = min(local / PAIR_LANES, PAIRS - 1u);
    let pair = first_pair + own;
    let split = local % PAIR_LANES % SPLIT;
    let query = first_query + (local % PAIR_LANES / SPLIT) * QUERIES;
    let start = pair_start(pair);
    start_queries();
    var visible: array<u32, QUERIES>;       // keys of each query
    for (var i = 0u; i < QUERIES; i++) {
        let position = params.first + min(query + i, params.queries - 1u);
        visible[i] = select(params.tokens, min(params.tokens, position + 1u), params.causal == 1u);
        for (var c = 0u; c < OWN; c++) {
            let value = vec4<f32>(qkv[start + position * 3u * width4 + c * SPLIT + split]);
            q[i * OWN + c] = value * (params.scale * LOG2_E);
        }
    }

    // Keys that some query of the workgroup sees.
    let last = min(first_query + TILE_QUERIES, params.queries) - 1u;
    let keys = select(params.tokens, min(params.tokens, params.first + last + 1u), params.causal == 1u);

    // The keys that the lane loads. Past the last key it loads that one again.
    let part = local % WIDE;
    let group_key = local / WIDE;
    let at = group_key * KEY_STRIDE + (part / PARTS) * ROW + part % PARTS;
    let row_step = 3u * width4;
    var source = pair_start(first_pair + part / PARTS) + part % PARTS + width4;
    let end = source + (keys - 1u) * row_step;
    source += group_key * row_step;
    let own_row = own * ROW + split;
    for (var j = 0u; j < keys; j += CHUNK) {
        workgroupBarrier();
        for (var l = 0u; l < CHUNK; l += GROUPS) {
            let key = min(source + l * row_step, end);
            let loaded = array(vec4<f32>(qkv[key]), vec4<f32>(qkv[key + width4]));
            if (ALL_LOAD || (group_key < GROUPS && l + group_key < CHUNK)) {
                put_row(at + l * KEY_STRIDE, loaded[0], loaded[1]);
            }
        }
        source += CHUNK * row_step;
        workgroupBarrier();
        for (var k = 0u; k < min(params.chunk, keys - j); k += TILE_KEYS) {
            var seen: array<vec2<i32>, QUERIES>;
            for (var i = 0u; i < QUERIES; i++) { seen[i] = vec2(0, i32(visible[i]) - i32(j + k)); }
            score_tile(k * KEY_STRIDE + own_row);
            if (SPLIT > 1u) { exchange_scores(local, split); }
            let before = weigh_tile(seen);
            if (DROPOUT == 1u) { drop_tile(pair, params.first + query, (j + k) / TILE_KEYS); }
            add_tile(k * KEY_STRIDE + own_row, before);
        }
    }

    let stored = min(params.queries, first_query + TILE_QUERIES); // lanes that are left over have no queries
    if (pair >= params.samples * params.heads || local >= PAIR_LANES * PAIRS) { return; }
    let row = (pair / params.heads) * params.queries + query;
    for (var i = 0u; i < QUERIES; i++) {
        if (query + i < stored) {
            for (var c = 0u; c < OWN; c++) {
                let to = (row + i) * width4 + (pair % params.heads) * PARTS + c * SPLIT + split;
                out[to] = sum[i * OWN + c] / total[i];
            }
            if (split == 0u) {
                lse[(row + i) * params.heads + pair % params.heads] = (largest[i] + log2(total[i])) * LOG_2;
            }
        }
    }
}
