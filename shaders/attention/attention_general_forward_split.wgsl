// Softmax attention of few queries over many keys, as in attention_general_forward_tiled: sums over one split of the keys,
// which attention_general_forward_merge adds. The keys of a head keep many workgroups busy.
//
//   part_i = Σ_j exp(s_ij − m_i) v_j        sum_i = Σ_j exp(s_ij − m_i)        m_i = max_j s_ij        over j of a split
//
// Flash-decoding (Dao, Haziza, Massa and Sizov, 2023, https://pytorch.org/blog/flash-decoding). A workgroup owns SPLIT of
// the keys from the first one that a query sees on, and ROWS of the rows of a key head: the queries of each head of its
// group, which share the loads of keys and values. It iterates over KEYS keys at a time. For scores, SUBS lanes have
// neighboring parts of four keys; for weights, a lane has four keys of a row; for sums, it has four columns of its share of
// the values, and the shares are added in order. Without a key that a row sees, its sum is 0; without one of any row, part is
// not written.
//
// grid   B · Hk · splits · ⌈(H / Hk) Tq / ROWS⌉ workgroups of 64 invocations
// reads  q (B, Tq, H, D) · k (B, Tk, Hk, D) · v (B, Tk, Hk, Dv), each with strides · bias · key_counts (B)
// makes  part (B, H, Tq, splits, Dv) · part_sum (B, H, Tq, splits): m in units of log 2, and sum
#import grid
#import cache
#import tanh
#import strided_rows
#import general_rows
#import pair_score
#import general_split
const SPLIT: u32 = 128u;

const LANES: u32 = 64u;
const SUBS: u32 = 4u;                      // lanes that share a key
const KEYS: u32 = 4u * LANES / SUBS;       // at a time
const VECTORS: u32 = KEYS / 4u;            // of keys, lanes that share a row

// Products of each lane, in every SUBS-th vector the weights of four keys, finally sums of each lane.
var<workgroup> block: array<vec4<f32>, ROWS * LANES>;
var<workgroup> of_lane: array<f32, LANES>;       // maxima, finally sums of weights
var<workgroup> of_row: array<f32, ROWS>;         // factors of earlier sums

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = grid_index(group, groups);
    let kv_heads = params.heads / params.group;
    let count = params.group * params.queries;   // rows of a key head
    let tiles = (count + ROWS - 1u) / ROWS;
    let first = index % tiles * ROWS;
    let split = index / tiles % params.splits;
    let kv_head = index / tiles / params.splits % kv_heads;
    let inside = index / tiles / params.splits / kv_heads < params.samples;
    let sample = min(index / tiles / params.splits / kv_heads, params.samples - 1u);
    let seen = keys_of(reach_of(sample, 0u), 0u, params.queries - 1u);
    let start = seen.x + split * SPLIT;
    let end = min(start + SPLIT, seen.y);

    // The row whose weights the lane has, and where four of them are.
    let own = lane / VECTORS;
    let row = min(first + own, count - 1u);
    let reach = reach_of(sample, head_of(kv_head, row));
    let weight_at = own * LANES + lane % VECTORS * SUBS;
    // Columns and share of the lane's sums.
    let column = lane % params.columns;
    let share = lane / params.columns;
    let key_rows = rows_of_keys(sample, kv_head, reach.keys);
    let value_rows = rows_of_values(sample, kv_head, reach.keys);

    load_queries(lane, sample, kv_head, first);
    workgroupBarrier();
    var sum: array<vec4<f32>, ROWS>; // zero-initialized
    var largest = SMALLEST;
    var total = 0.0;
    for (var j0 = start; j0 < end; j0 += KEYS) {
        let product = products(lane, key_rows, j0);
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) { block[r * LANES + lane] = product[r]; }
        workgroupBarrier();
        var p: vec4<f32>;
        if (own < ROWS) {
            let score = (block[weight_at] + block[weight_at + 1u]) + (block[weight_at + 2u] + block[weight_at + 3u]);
            p = pair_score(score, reach, vec4(row % params.queries), vec4(j0 + lane % VECTORS * 4u) + FOUR).score;
            of_lane[lane] = max(max(p.x, p.y), max(p.z, p.w));
        }
        workgroupBarrier();
        if (own < ROWS) {
            let earlier = largest;
            for (var i = 0u; i < VECTORS; i++) { largest = max(largest, of_lane[own * VECTORS + i]); }
            let before = exp2(earlier - largest);
            p = exp2(p - largest);
            total = fma(total, before, (p.x + p.y) + (p.z + p.w));
            block[weight_at] = p;
            if (lane % VECTORS == 0u) { of_row[own] = before; }
        }
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) { sum[r] *= of_row[r]; }
        for (var i = 4u * share; i < min(KEYS, end - j0); i += 4u * LANES / params.columns) {
            let j = j0 + i;
            let value = mat4x4<f32>(
                load(value_rows, j, column), load(value_rows, j + 1u, column),
                load(value_rows, j + 2u, column), load(value_rows, j + 3u, column)
            );
            for (var r = 0u; r < ROWS; r++) {
                let weight = block[r * LANES + i];
                for (var e = 0u; e < 4u; e++) { sum[r] = fma(vec4(weight[e]), value[e], sum[r]); }
            }
        }
    }

    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) { block[r * LANES + lane] = sum[r]; }
    if (own < ROWS) { of_lane[lane] = total; }
    workgroupBarrier();
    let to = ((sample * kv_heads + kv_head) * count + first) * params.splits + split;
    if (inside && start < end && share == 0u) {
        for (var r = 0u; r < min(ROWS, count - first); r++) {
            var value = block[r * LANES + lane];
            for (var s = lane + params.columns; s < LANES; s += params.columns) { value += block[r * LANES + s]; }
            let at = (to + r * params.splits) * params.value_width + 4u * column;
            for (var e = 0u; e < 4u; e++) {
                if (4u * column + e < params.value_width) { part[at + e] = value[e]; }
            }
        }
    }
    if (inside && own < min(ROWS, count - first) && lane % VECTORS == 0u) {
        for (var i = 1u; i < VECTORS; i++) { total += of_lane[lane + i]; }
        part_sum[to + own * params.splits] = vec2(largest, total);
    }
}
