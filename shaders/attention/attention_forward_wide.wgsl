// Softmax attention of a window of query positions over the keys and values of a layer, causal or full: products of
// register blocks in workgroup memory, for GPUs and wide heads or long sequences.
//
//   out[i] = Σ_j p_ij v_j        p_ij = exp(q_i · k_j / √D − lse_i)        lse_i = log Σ_j exp(q_i · k_j / √D)
//
// Position j of sample b is row b·stride + offset + j. Query i of a sample is at position first + i. Causal attention
// sums over j ≤ first + i, otherwise over all T. A workgroup owns QUERY_TILE queries of a head. For each tile of
// KEY_TILE keys it adds up scores over chunks of the head, an invocation BLOCK × 4 of them, turns them into weights by
// an online softmax, and multiplies these with the values, an invocation OUT queries × 4 columns.
//
// grid   B · H · ⌈n / QUERY_TILE⌉ workgroups
// reads  qkv (rows, 3C) · with DROPOUT step: seed (2), step number, -
// makes  out (B·n, C) · lse (B·n, H)
// D is a multiple of 4 and at most 4·COLUMNS.
#import grid
#import head
#import cache
const COLUMNS: u32 = 8u; // spec 16 32

#import attention_block
#import philox
#import attention_dropout
#import dropout_weights

const QUERY_LOADS: u32 = QUERY_TILE * CHUNK / LANES;
const KEY_LOADS: u32 = KEY_TILE * CHUNK / LANES;
const VALUE_LOADS: u32 = VALUE_KEYS * COLUMNS / LANES;

struct Params {
    samples: u32, tokens: u32, heads: u32, first: u32, queries: u32, causal: u32, scale: f32, stride: u32, offset: u32,
    dropped: u32, factor: f32, site: u32, first_sample: u32,
    parts: u32, value_keys: u32 // PARTS and VALUE_KEYS, as parameters to prevent drivers from unrolling loops
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<Cache>>;          // (rows, 3C)
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;      // (B·n, C)
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;            // (B·n, H)
@group(0) @binding(4) var<storage, read> step: array<u32>;                 // (4), with DROPOUT

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (params.queries + QUERY_TILE - 1u) / QUERY_TILE;
    let index = grid_index(group, groups);
    let first_query = (index % tiles) * QUERY_TILE;
    let pair = index / tiles;
    let width4 = params.heads * PARTS;
    let row_step = 3u * width4;
    let exists = pair < params.samples * params.heads; // otherwise past the end of a folded grid
    let sample = min(pair / params.heads, params.samples - 1u);
    let head = pair % params.heads;
    let start = (sample * params.stride + params.offset) * row_step + head * PARTS;
    let last_query = min(first_query + QUERY_TILE, params.queries) - 1u;
    let keys = select(params.tokens, params.first + last_query + 1u, params.causal == 1u);

    let position = params.first + min(first_query + local % QUERY_TILE, params.queries - 1u);
    let visible = select(params.tokens, position + 1u, params.causal == 1u);
    start_block();

    // What the invocation loads: a part of each chunk of queries and keys, and a column of the values.
    let part = local % CHUNK;
    let column = local % COLUMNS;
    let row = local / COLUMNS;
    let value_start = start + 2u * width4 + min(column, PARTS - 1u);
    var query_source: array<u32, QUERY_LOADS>;
    for (var l = 0u; l < QUERY_LOADS; l++) {
        let query = min(first_query + l * (LANES / CHUNK) + local / CHUNK, params.queries - 1u);
        query_source[l] = start + (params.first + query) * row_step;
    }
    for (var first_key = 0u; first_key < keys; first_key += KEY_TILE) {
        for (var i = 0u; i < BLOCK; i++) { score[i] = vec4(0.0); }
        var key_source: array<u32, KEY_LOADS>;
        for (var l = 0u; l < KEY_LOADS; l++) {
            let key = min(first_key + l * (LANES / CHUNK) + local / CHUNK, keys - 1u);
            key_source[l] = start + width4 + key * row_step;
        }
        for (var c = 0u; c < params.parts; c += CHUNK) {
            let at = min(c + part, PARTS - 1u);
            for (var l = 0u; l < QUERY_LOADS; l++) {
                let value = vec4<f32>(qkv[query_source[l] + at]);
                tile[l * LANES + local] = select(vec4(0.0), value, c + part < PARTS);
            }
            for (var l = 0u; l < KEY_LOADS; l++) {
                let k = l * (LANES / CHUNK) + local / CHUNK;
                let to = QUERY_TILE * CHUNK + ((k % 4u) * KEY_LANES + k / 4u) * KEY_ROW + part;
                tile[to] = vec4<f32>(qkv[key_source[l] + at]);
            }
            workgroupBarrier();
            add_scores(local);
            workgroupBarrier();
        }
        put_scores(local);
        var value: array<vec4<f32>, VALUE_LOADS>;
        for (var l = 0u; l < VALUE_LOADS; l++) {
            value[l] = vec4<f32>(qkv[value_start + min(first_key + l * ROWS + row, keys - 1u) * row_step]);
        }
        workgroupBarrier();
        weigh(local, 0, i32(visible) - i32(first_key), params.scale * LOG2_E);
        if (DROPOUT == 1u) { drop_weights(local, pair, position, first_key / 8u); }
        for (var v = 0u; v < KEY_TILE; v += params.value_keys) {
            for (var l = 0u; l < VALUE_LOADS; l++) { tile[l * LANES + local] = value[l]; }
            workgroupBarrier();
            let next = first_key + v + VALUE_KEYS + row;
            for (var l = 0u; l < VALUE_LOADS; l++) {
                value[l] = vec4<f32>(qkv[value_start + min(next + l * ROWS, keys - 1u) * row_step]);
            }
            if (v == 0u) { rescale(local); }
            for (var k = 0u; k < params.value_keys; k += 4u) { add_values(local, k, (v + k) / 4u); }
            workgroupBarrier();
        }
    }

    finish_totals(local);
    let output = sample * params.queries + first_query;
    let query_end = select(0u, last_query + 1u - first_query, exists);
    if (local < QUERY_TILE && local < query_end) {
        lse[(output + local) * params.heads + head] = (largest + log2(total)) * LOG_2;
    }
    for (var i = 0u; i < OUT; i++) {
        let query = i * ROWS + row;
        if (query < query_end && column < PARTS) {
            out[(output + query) * width4 + head * PARTS + column] = sum[i] / factors[query];
        }
    }
}
