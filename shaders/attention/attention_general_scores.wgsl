// Scores of general attention, or probabilities, for every pair of a query and a key.
//
//   OF 0: scale q_i · k_j    1: x_ij = cap · tanh(scale q_i · k_j / cap)    2: s_ij = x_ij + bias_ij    3: exp(s_ij − lse_i)
//
// s_ij is −10³⁰ for pairs that do not count. A workgroup owns OWNED queries and STREAMED keys of a head. Tiles in workgroup
// memory, without subgroups.
//
// grid   B · H · ⌈Tq / OWNED⌉ · ⌈Tk / STREAMED⌉ workgroups of 128 invocations
// reads  q (B, Tq, H, D) · k (B, Tk, Hk, D), each with strides · bias · key_counts (B) · lse (B, H, Tq), with OF 3
// makes  score (B, H, Tq, Tk)
#import grid
#import cache
#import tanh
#import strided_rows
#import strided_tiles
#import general_rows
#import pair_score
const OF: u32 = 0u; // spec 1 2 3

struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, group: u32, width: u32, value_width: u32, halves: u32, steps: u32,
    q_offset: u32, q_sample: u32, q_position: u32, q_head: u32, k_offset: u32, k_sample: u32, k_position: u32, k_head: u32,
    v_offset: u32, v_sample: u32, v_position: u32, v_head: u32,
    scale: f32, softcap: f32, before: u32, after: u32, past: u32, counted: u32,
    biased: u32, bias_sample: u32, bias_head: u32, bias_query: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Cache>;
@group(0) @binding(2) var<storage, read> k: array<Cache>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> key_counts: array<u32>;           // (B)
@group(0) @binding(5) var<storage, read> lse: array<f32>;                  // (B, H, Tq)
@group(0) @binding(6) var<storage, read_write> score: array<f32>;          // (B, H, Tq, Tk)

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    return f32(k[at]);
}

fn put(at: u32, value: f32) { score[at] = value; }

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = grid_index(group, groups);
    let key_tiles = (params.keys + STREAMED - 1u) / STREAMED;
    let tiles = (params.queries + OWNED - 1u) / OWNED;
    let first_key = index % key_tiles * STREAMED;
    let first = index / key_tiles % tiles * OWNED;
    let head = index / key_tiles / tiles % params.heads;
    let inside = index / key_tiles / tiles / params.heads < params.samples;
    let sample = min(index / key_tiles / tiles / params.heads, params.samples - 1u);
    let reach = reach_of(sample, head);
    let query_rows = rows_of_queries(sample, head);
    let key_rows = rows_of_keys(sample, head / params.group, params.keys);
    let own = first + lane % 8u + 8u * FOUR;
    let row = (sample * params.heads + head) * params.queries;

    let product = scores(lane, key_rows, first_key, query_rows, first, (params.width + 3u) / 4u);
    for (var m = 0u; m < 4u; m++) {
        let key = first_key + lane / 8u + 16u * m;
        var value = product[m] * params.scale;
        if (OF == 1u && params.softcap > 0.0) { value = tanh_value4(value / params.softcap) * params.softcap; }
        if (OF >= 2u) {
            let s = pair_score(product[m], reach, own, vec4(key)).score;
            value = select(s * LOG_2, vec4(SMALLEST), s <= vec4(SMALLEST));
            if (OF == 3u) {
                var total: vec4<f32>;
                for (var n = 0u; n < 4u; n++) { total[n] = lse[row + min(own[n], params.queries - 1u)] * LOG2_E; }
                value = select(exp2(s - total), vec4(0.0), s <= vec4(SMALLEST));
            }
        }
        for (var n = 0u; n < 4u; n++) {
            if (inside && own[n] < params.queries && key < params.keys) { put((row + own[n]) * params.keys + key, value[n]); }
        }
    }
}
