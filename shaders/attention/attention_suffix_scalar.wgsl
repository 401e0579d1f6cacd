// Causal attention of changed suffixes over the prefix of their base sample: scalar variant, for any head dimension and
// without subgroups.
//
//   out[r] = Σ_j softmax_j(q_r · k_j / √D) v_j,   p − p mod period ≤ j ≤ p
//   k_j, v_j of base row base[u]·T + j for j < s, of suffix row r − (p − j) for s ≤ j ≤ p
//
// Row r = u·per_item + k of the suffix batch is position p of a sequence that differs from base sample base[u] from
// position s on; row_table[k] = (s, p). The rows of a sequence are consecutive from p = s on. An invocation owns
// QUERIES rows of one item and one head. It iterates over the base keys once for all of them, then over the changed
// keys of each sequence.
//
// grid   items · ⌈per_item / QUERIES⌉ · H invocations, 64 to a workgroup
// reads  base_qkv (B·T, 3C) and qkv (items·per_item, 3C), bound twice: as vec4s for D a multiple of 4, else as floats
//        base (items of all windows): base sample of item first_item + u · row_table (per_item, 2)
// makes  out (items·per_item, C)
#import grid
#import head
#import online_softmax
#import cache
#import remainder
#import suffix
#import load
#import load_changed
const QUERIES: u32 = 1u; // spec 4

struct Params { items: u32, per_item: u32, first_item: u32, tokens: u32, period: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base_qkv: array<Cache>;           // (B·T, 3C)
@group(0) @binding(2) var<storage, read> base_qkv4: array<vec4<Cache>>;    // (B·T, 3C)
@group(0) @binding(3) var<storage, read> qkv: array<Cache>;                // (items·per_item, 3C)
@group(0) @binding(4) var<storage, read> qkv4: array<vec4<Cache>>;         // (items·per_item, 3C)
@group(0) @binding(5) var<storage, read> base: array<u32>;                 // (first_item + items)
@group(0) @binding(6) var<storage, read> row_table: array<vec2<u32>>;      // (per_item): s, p
@group(0) @binding(7) var<storage, read_write> out: array<f32>;            // (items·per_item, C)

var<private> q: array<vec4<f32>, QUERIES * PARTS>;
var<private> sum: array<vec4<f32>, QUERIES * PARTS>;
var<private> state: array<vec2<f32>, QUERIES>;

// Adds the key at `key` and its value to the queries i whose bit is set.
fn add(changed: bool, key: u32, width: u32, counts: u32) {
    var score: array<f32, QUERIES>; // zero-initialized
    var before: array<f32, QUERIES>;
    for (var c = 0u; c < PARTS; c++) {
        let k = head_padded(c, load_changed(changed, key, c));
        for (var i = 0u; i < QUERIES; i++) { score[i] += dot(q[i * PARTS + c], k); }
    }
    for (var i = 0u; i < QUERIES; i++) {
        let next = online_add(state[i], score[i], ((counts >> i) & 1u) == 1u);
        state[i] = next.xy;
        before[i] = next.z;
        score[i] = next.w;
    }
    for (var c = 0u; c < PARTS; c++) {
        let v = head_padded(c, load_changed(changed, key + width, c));
        for (var i = 0u; i < QUERIES; i++) {
            sum[i * PARTS + c] = fma(vec4(score[i]), v, sum[i * PARTS + c] * before[i]);
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let tiles = (params.per_item + QUERIES - 1u) / QUERIES;
    let item = index / params.heads / tiles;
    if (item >= params.items) { return; }
    let head = index % params.heads;
    let first_k = index / params.heads % tiles * QUERIES;
    let width = params.heads * HEAD_DIM;
    let base_start = base[params.first_item + item] * params.tokens * 3u * width + head * HEAD_DIM;
    let start = item * params.per_item * 3u * width + head * HEAD_DIM;

    // Past the end of the item, its last row is recomputed and not stored.
    var entry: array<vec2<u32>, QUERIES>;
    var ranges: array<vec2<u32>, QUERIES>;
    var shared_keys = vec2(params.tokens, 0u);
    for (var i = 0u; i < QUERIES; i++) {
        let k = min(first_k + i, params.per_item - 1u);
        entry[i] = suffix_entry(row_table[k], params.period);
        ranges[i] = suffix_shared(entry[i], params.period);
        shared_keys = vec2(min(shared_keys.x, ranges[i].x), max(shared_keys.y, ranges[i].y));
        state[i] = ONLINE_START;
        for (var c = 0u; c < PARTS; c++) {
            q[i * PARTS + c] = load_padded(start + k * 3u * width, c) * params.scale;
            sum[i * PARTS + c] = vec4(0.0);
        }
    }
    for (var j = shared_keys.x; j < shared_keys.y; j++) {
        var counts = 0u;
        for (var i = 0u; i < QUERIES; i++) { counts |= select(0u, 1u << i, j >= ranges[i].x && j < ranges[i].y); }
        add(false, base_start + (3u * j + 1u) * width, width, counts);
    }
    // The sequences of the tile in order: rows first_k + a to first_k + end − 1.
    let rows = min(QUERIES, params.per_item - first_k);
    for (var a = 0u; a < rows; ) {
        let leader = suffix_entry(row_table[first_k + a], params.period);
        var end = a + 1u;
        while (end < rows && suffix_entry(row_table[first_k + end], params.period).x != row_table[first_k + end].y) { end++; }
        let last = leader.y + end - 1u - a;
        for (var j = leader.x; j <= last; j++) {
            var counts = 0u;
            for (var i = 0u; i < QUERIES; i++) {
                counts |= select(0u, 1u << i, i >= a && i < end && j <= entry[i].y);
            }
            let k = first_k + a + j - leader.y;
            add(true, start + (3u * k + 1u) * width, width, counts);
        }
        a = end;
    }

    for (var i = 0u; i < QUERIES; i++) {
        let at = (item * params.per_item + first_k + i) * width + head * HEAD_DIM;
        for (var c = 0u; c < PARTS; c++) {
            let value = sum[i * PARTS + c] / state[i].y;
            for (var e = 0u; e < min(4u, HEAD_DIM - 4u * c); e++) {
                if (i < rows) { out[at + 4u * c + e] = value[e]; }
            }
        }
    }
}
