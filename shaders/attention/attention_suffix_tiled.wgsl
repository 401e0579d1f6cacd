// Causal attention of changed suffixes over the prefix of their base sample: tiled variant, for GPUs and narrow heads.
//
//   out[r] = Σ_j softmax_j(q_r · k_j / √D) v_j,   p − p mod period ≤ j ≤ p
//   k_j, v_j of base row base[u]·T + j for j < s, of suffix row r − (p − j) for s ≤ j ≤ p
//
// Row r = u·per_item + k of the suffix batch is position p of a sequence that differs from base sample base[u] from
// position s on; row_table[k] = (s, p). The rows of a sequence are consecutive from p = s on. A workgroup owns PAIRS
// heads of consecutive rows of an item, a lane QUERIES of the rows, at most 2, and one head. The base keys of all these
// rows are a range of positions, the changed keys a range of rows. Both pass through workgroup memory in windows, in
// whose first CHUNK rows begin tiles of keys: at multiples of TILE_KEYS positions, and at the first row of a sequence.
//
// grid   items · ⌈H / PAIRS⌉ · ⌈per_item / (QUERIES · ⌊64 / PAIRS⌋)⌉ workgroups of 64 invocations
// reads  base_qkv (B·T, 3C) and qkv (items·per_item, 3C)
//        base (items of all windows): base sample of item first_item + u · row_table (per_item, 2)
// makes  out (items·per_item, C)
// D is a multiple of 4, T at most 2¹⁵.
#import grid
#import head
#import cache
#import remainder
#import suffix
#import suffix_rows
#import key_tile
const QUERIES: u32 = 1u; // spec 2
const PAIRS: u32 = 1u; // spec 4
const SPLIT: u32 = 1u;
const CHUNK: u32 = TILE_KEYS * ((max(448u / KEY_STRIDE, 15u) - 7u) / 8u);
const WINDOW: u32 = CHUNK + TILE_KEYS - 1u;

struct Params { items: u32, per_item: u32, first_item: u32, tokens: u32, period: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base_qkv: array<vec4<Cache>>;     // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv: array<vec4<Cache>>;          // (items·per_item, 3C)
@group(0) @binding(3) var<storage, read> base: array<u32>;                 // (first_item + items)
@group(0) @binding(4) var<storage, read> row_table: array<vec2<u32>>;      // (per_item): s, p
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;      // (items·per_item, C)

var<workgroup> rows: array<vec4<f32>, WINDOW * KEY_STRIDE>;
// Keys that each row of a lane sees: base keys, then rows from `first_changed` on. Here to save registers, as are the
// number of rows of each lane and the index in `out` of the first, number + 4·index.
var<workgroup> ranges: array<u32, 2u * QUERIES * LANES>;
var<workgroup> outputs: array<u32, LANES>;
var<workgroup> base_keys: atomic<u32>;     // end of the base keys of all rows

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (params.per_item + PAIR_LANES * QUERIES - 1u) / (PAIR_LANES * QUERIES);
    let head_tiles = (params.heads + PAIRS - 1u) / PAIRS;
    let index = grid_index(group, groups);
    let first_row = (index % tiles) * PAIR_LANES * QUERIES;
    let first_head = ((index / tiles) % head_tiles) * PAIRS;
    let item = min(index / tiles / head_tiles, params.items - 1u);
    let end_row = min(first_row + PAIR_LANES * QUERIES, params.per_item);
    let width4 = params.heads * PARTS;
    let step = 3u * width4;
    let start = item * params.per_item * step;

    // Past the end of the item, its last row is recomputed and not stored.
    let own = min(local / PAIR_LANES, PAIRS - 1u);
    let head = min(first_head + own, params.heads - 1u);
    let row = first_row + (local % PAIR_LANES) * QUERIES;
    let first_entry = suffix_entry(row_table[first_row], params.period);
    let first_changed = first_row - (first_entry.y - first_entry.x);
    var most = 0u;
    start_queries();
    for (var i = 0u; i < QUERIES; i++) {
        let k = min(row + i, params.per_item - 1u);
        let entry = suffix_entry(row_table[k], params.period);
        let shared_keys = suffix_shared(entry, params.period);
        most = max(most, shared_keys.y);
        ranges[i * LANES + local] = packed(shared_keys);
        ranges[(QUERIES + i) * LANES + local] = packed(vec2(k + entry.x - entry.y, k + 1u) - first_changed);
        for (var c = 0u; c < PARTS; c++) {
            q[i * PARTS + c] = vec4<f32>(qkv[start + k * step + head * PARTS + c]) * (params.scale * LOG2_E);
        }
    }
    let exists = index / tiles / head_tiles == item && local < PAIR_LANES * PAIRS && head == first_head + own;
    let stored = select(0u, min(QUERIES, end_row - min(row, end_row)), exists);
    outputs[local] = stored + 4u * ((item * params.per_item + row) * width4 + head * PARTS);
    if (local == 0u) { atomicStore(&base_keys, 0u); }
    workgroupBarrier();
    atomicMax(&base_keys, most);
    workgroupBarrier();

    let part = local % WIDE;
    let group_row = local / WIDE;
    let at = group_row * KEY_STRIDE + (part / PARTS) * ROW + part % PARTS;
    let column = min(first_head * PARTS + part, width4 - PARTS + part % PARTS) + width4;
    let sample = base[params.first_item + item] * params.tokens * step;
    let base_windows = (params.tokens + CHUNK - 1u) / CHUNK;
    let windows = base_windows + (end_row - first_changed + CHUNK - 1u) / CHUNK;
    var tile = 0u;
    for (var w = 0u; w < windows; w++) {
        let changed = w >= base_windows;
        let window = select(w, w - base_windows, changed) * CHUNK;
        let lane = select(0u, QUERIES * LANES, changed) + local;
        let of_first = unpacked(ranges[lane]);
        let of_last = unpacked(ranges[lane + (QUERIES - 1u) * LANES]);
        let keys = vec2(min(of_first.x, of_last.x), max(of_first.y, of_last.y));
        if (w == 0u) { tile = keys.x - keys.x % TILE_KEYS; }
        if (w == base_windows) { tile = keys.x; }
        workgroupBarrier();
        let end = select(atomicLoad(&base_keys), end_row - first_changed, changed);
        if (window < end) {
            let from_row = select(sample, start + first_changed * step, changed) + column;
            for (var l = 0u; l < WINDOW; l += GROUPS) {
                let source = from_row + min(window + l + group_row, end - 1u) * step;
                let key = load_row(changed, source);
                let value = load_row(changed, source + width4);
                if (group_row < GROUPS && l + group_row < WINDOW) { put_row(at + l * KEY_STRIDE, key, value); }
            }
        }
        workgroupBarrier();
        for (; tile < min(window + CHUNK, keys.y); tile += TILE_KEYS) {
            var seen: array<vec2<i32>, QUERIES>;
            for (var i = 0u; i < QUERIES; i++) { seen[i] = vec2<i32>(unpacked(ranges[lane + i * LANES])) - i32(tile); }
            score_tile((tile - window) * KEY_STRIDE + own * ROW);
            add_tile((tile - window) * KEY_STRIDE + own * ROW, weigh_tile(seen));
        }
    }
    let to = outputs[local];
    for (var i = 0u; i < QUERIES; i++) {
        for (var c = 0u; c < PARTS; c++) {
            if (i < to % 4u) { out[to / 4u + i * width4 + c] = sum[i * PARTS + c] / total[i]; }
        }
    }
}
