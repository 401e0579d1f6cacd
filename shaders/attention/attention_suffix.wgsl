// Causal attention of changed suffixes of sequences over the unchanged prefix of their base sample: subgroup variant.
//
//   out[r] = Σ_j softmax_j(q_r · k_j / √D) v_j,   p − p mod period ≤ j ≤ p
//   k_j, v_j of base row base[u]·T + j for j < s, of suffix row r − (p − j) for s ≤ j ≤ p
//
// Row r = u·per_item + k of the suffix batch is position p of a sequence that differs from base sample base[u] from s
// on; row_table[k] = (s, p). The rows of a sequence are consecutive from p = s on. A cluster of 8 lanes owns 8·QUERIES
// rows of an item and a head. It broadcasts the base keys once for all, then the changed keys of each sequence.
//
// grid   items · ⌈per_item / (8·QUERIES)⌉ · H clusters of 8 lanes, 64 lanes to a workgroup
// reads  base_qkv (B·T, 3C) · qkv (items·per_item, 3C) · base (first_item + items) · row_table (per_item, 2)
// makes  out (items·per_item, C)
// D is a multiple of 4; subgroups have at least 8 lanes.
#import grid
#import head
#import head_tile
#import online_softmax
#import cache
#import remainder
#import suffix
const QUERIES: u32 = 1u; // spec 2

struct Params { items: u32, per_item: u32, first_item: u32, tokens: u32, period: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base_qkv: array<vec4<Cache>>;     // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv: array<vec4<Cache>>;          // (items·per_item, 3C)
@group(0) @binding(3) var<storage, read> base: array<u32>;                 // (first_item + items)
@group(0) @binding(4) var<storage, read> row_table: array<vec2<u32>>;      // (per_item): s, p
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;      // (items·per_item, C)

const CLUSTER: u32 = 8u;

var<private> q: array<vec4<f32>, QUERIES * PARTS>;
var<private> sum: array<vec4<f32>, QUERIES * PARTS>;
var<private> state: array<vec2<f32>, QUERIES>;
var<private> own_k: array<vec4<f32>, PARTS>;
var<private> own_v: array<vec4<f32>, PARTS>;

// Adds the first `count` keys and values of the cluster, from position j0 on. Query i includes those in its range.
fn add(leader: u32, count: u32, j0: u32, ranges: array<vec2<u32>, QUERIES>) {
    for (var j = 0u; j < count; j++) {
        var score: array<f32, QUERIES>; // zero-initialized
        var before: array<f32, QUERIES>;
        for (var c = 0u; c < PARTS; c++) {
            let k = subgroupShuffle(own_k[c], leader + j);
            for (var i = 0u; i < QUERIES; i++) { score[i] += dot(q[i * PARTS + c], k); }
        }
        for (var i = 0u; i < QUERIES; i++) {
            let next = online_add(state[i], score[i], j0 + j >= ranges[i].x && j0 + j < ranges[i].y);
            state[i] = next.xy;
            before[i] = next.z;
            score[i] = next.w;
        }
        for (var c = 0u; c < PARTS; c++) {
            let v = subgroupShuffle(own_v[c], leader + j);
            for (var i = 0u; i < QUERIES; i++) { sum[i * PARTS + c] = fma(vec4(score[i]), v, sum[i * PARTS + c] * before[i]); }
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) id: u32,
) {
    let cluster = grid_index(group, groups) * (64u / CLUSTER) + local / CLUSTER;
    let lane = id % CLUSTER;
    let tile = head_tile(cluster, params.heads, params.per_item, CLUSTER * QUERIES);
    // Past the end, the last item or row is recomputed and not stored, so that every lane reaches the shuffles.
    let item = min(tile.sample, params.items - 1u);
    let head = tile.head;
    let end_k = min(tile.first + CLUSTER * QUERIES, params.per_item);
    let width4 = params.heads * PARTS;
    let base_start = base[params.first_item + item] * params.tokens * 3u * width4 + head * PARTS;
    let start = item * params.per_item * 3u * width4 + head * PARTS;

    var entry: array<vec2<u32>, QUERIES>;
    var ranges: array<vec2<u32>, QUERIES>;
    var shared_keys = vec2(params.tokens, 0u);
    var begins = 0u; // bit i: a sequence begins at row i of the tile
    for (var i = 0u; i < QUERIES; i++) {
        let k = min(tile.first + lane + CLUSTER * i, params.per_item - 1u);
        entry[i] = suffix_entry(row_table[k], params.period);
        ranges[i] = suffix_shared(entry[i], params.period);
        shared_keys = vec2(min(shared_keys.x, ranges[i].x), max(shared_keys.y, ranges[i].y));
        begins |= ((subgroupBallot(entry[i].x == entry[i].y)[(id - lane) / 32u] >> ((id - lane) % 32u)) & 0xffu) << (CLUSTER * i);
        state[i] = ONLINE_START;
        for (var c = 0u; c < PARTS; c++) {
            q[i * PARTS + c] = vec4<f32>(qkv[start + k * 3u * width4 + c]) * params.scale;
            sum[i * PARTS + c] = vec4(0.0);
        }
    }
    let shared_end = subgroupMax(shared_keys.y);
    for (var j0 = subgroupMin(shared_keys.x); j0 < shared_end; j0 += CLUSTER) {
        let key = base_start + (3u * min(j0 + lane, params.tokens - 1u) + 1u) * width4;
        for (var c = 0u; c < PARTS; c++) {
            own_k[c] = vec4<f32>(base_qkv[key + c]);
            own_v[c] = vec4<f32>(base_qkv[key + width4 + c]);
        }
        add(id - lane, min(CLUSTER, shared_end - j0), j0, ranges);
    }
    // The sequences of the tile in order: rows a to end − 1, whose changed keys begin at row a − (p − s).
    for (var a = tile.first; subgroupAny(a < end_k); ) {
        let begin = suffix_entry(row_table[min(a, params.per_item - 1u)], params.period);
        let end = min(a + 1u + countTrailingZeros(begins >> (a + 1u - tile.first)), end_k);
        let keys = begin.y - begin.x + end - a;
        for (var i = 0u; i < QUERIES; i++) {
            let k = tile.first + lane + CLUSTER * i;
            ranges[i] = vec2(begin.x, select(0u, entry[i].y + 1u, k >= a && k < end));
        }
        let most = subgroupMax(select(0u, keys, a < end_k));
        for (var j0 = 0u; j0 < most; j0 += CLUSTER) {
            let k = min(a + begin.x + j0 + lane - begin.y, params.per_item - 1u);
            for (var c = 0u; c < PARTS; c++) {
                own_k[c] = vec4<f32>(qkv[start + (3u * k + 1u) * width4 + c]);
                own_v[c] = vec4<f32>(qkv[start + (3u * k + 2u) * width4 + c]);
            }
            add(id - lane, min(CLUSTER, most - j0), begin.x + j0, ranges);
        }
        a = end;
    }
    for (var i = 0u; i < QUERIES; i++) {
        let k = tile.first + lane + CLUSTER * i;
        if (tile.sample < params.items && k < end_k) {
            for (var c = 0u; c < PARTS; c++) {
                out[((item * params.per_item + k) * params.heads + head) * PARTS + c] = sum[i * PARTS + c] / state[i].y;
            }
        }
    }
}
