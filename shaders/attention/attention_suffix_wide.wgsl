// Causal attention of changed suffixes over the prefix of their base sample: register blocks, for GPUs and wide heads.
//
//   out[r] = Σ_j softmax_j(q_r · k_j / √D) v_j,   p − p mod period ≤ j ≤ p
//   k_j, v_j of base row base[u]·T + j for j < s, of suffix row r − (p − j) for s ≤ j ≤ p
//
// Row r = u·per_item + k of the suffix batch is position p of a sequence that differs from base sample base[u] from
// position s on; row_table[k] = (s, p). The rows of a sequence are consecutive from p = s on. A workgroup owns a head
// of QUERY_TILE consecutive rows of an item. It iterates over tiles of KEY_TILE of their base keys, a range of
// positions, then of their changed keys, a range of rows.
//
// grid   items · H · ⌈per_item / QUERY_TILE⌉ workgroups
// reads  base_qkv (B·T, 3C) and qkv (items·per_item, 3C)
//        base (items of all windows): base sample of item first_item + u · row_table (per_item, 2)
// makes  out (items·per_item, C)
// D is a multiple of 4 and at most 4·COLUMNS, T at most 2¹⁵.
#import grid
#import head
#import cache
#import remainder
#import suffix
#import suffix_rows
#import attention_block
const COLUMNS: u32 = 16u; // spec 8 32

struct Params {
    items: u32, per_item: u32, first_item: u32, tokens: u32, period: u32, heads: u32, scale: f32,
    parts: u32, value_keys: u32 // PARTS and VALUE_KEYS, as parameters to prevent drivers from unrolling loops
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base_qkv: array<vec4<Cache>>;     // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv: array<vec4<Cache>>;          // (items·per_item, 3C)
@group(0) @binding(3) var<storage, read> base: array<u32>;                 // (first_item + items)
@group(0) @binding(4) var<storage, read> row_table: array<vec2<u32>>;      // (per_item): s, p
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;      // (items·per_item, C)

var<workgroup> bounds: array<atomic<u32>, 2>; // range of the base keys of all rows
var<workgroup> base_range: vec2<u32>;
// Keys that each row sees: base keys, then rows from `first_changed` on.
var<workgroup> ranges: array<u32, 2u * QUERY_TILE>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (params.per_item + QUERY_TILE - 1u) / QUERY_TILE;
    let index = grid_index(group, groups);
    let first_row = (index % tiles) * QUERY_TILE;
    let head = (index / tiles) % params.heads;
    let item = min(index / tiles / params.heads, params.items - 1u);
    let exists = index / tiles / params.heads == item; // otherwise past the end of a folded grid
    let end_row = min(first_row + QUERY_TILE, params.per_item);
    let width4 = params.heads * PARTS;
    let step = 3u * width4;
    let start = item * params.per_item * step + head * PARTS;
    let sample = base[params.first_item + item] * params.tokens * step + head * PARTS;

    let first_entry = suffix_entry(row_table[first_row], params.period);
    let first_changed = first_row - (first_entry.y - first_entry.x);
    let own = min(first_row + local % QUERY_TILE, end_row - 1u);
    let entry = suffix_entry(row_table[own], params.period);
    let own_base = suffix_shared(entry, params.period);
    if (local < QUERY_TILE) {
        ranges[local] = packed(own_base);
        ranges[QUERY_TILE + local] = packed(vec2(own + entry.x - entry.y, own + 1u) - first_changed);
    }
    if (local < 2u) { atomicStore(&bounds[local], select(0u, 0xffffffffu, local == 0u)); }
    workgroupBarrier();
    atomicMin(&bounds[0], own_base.x);
    atomicMax(&bounds[1], own_base.y);
    workgroupBarrier();
    if (local == 0u) { base_range = vec2(atomicLoad(&bounds[0]), atomicLoad(&bounds[1])); }
    let base_keys = workgroupUniformLoad(&base_range);
    let base_tiles = (max(base_keys.y, base_keys.x) - base_keys.x + KEY_TILE - 1u) / KEY_TILE;
    let key_tiles = base_tiles + (end_row - first_changed + KEY_TILE - 1u) / KEY_TILE;

    start_block();
    let part = local % CHUNK;
    let column = local % COLUMNS;
    let row = local / COLUMNS;
    for (var t = 0u; t < key_tiles; t++) {
        let changed = t >= base_tiles;
        let first_key = select(base_keys.x + t * KEY_TILE, (t - base_tiles) * KEY_TILE, changed);
        let last_key = select(base_keys.y, end_row - first_changed, changed) - 1u;
        let source = select(sample, start + first_changed * step, changed);
        for (var i = 0u; i < BLOCK; i++) { score[i] = vec4(0.0); }
        for (var c = 0u; c < params.parts; c += CHUNK) {
            let at = min(c + part, PARTS - 1u);
            for (var l = 0u; l < QUERY_TILE; l += LANES / CHUNK) {
                let query = vec4<f32>(qkv[start + min(first_row + l + local / CHUNK, end_row - 1u) * step + at]);
                tile[l * CHUNK + local] = select(vec4(0.0), query, c + part < PARTS);
            }
            for (var l = 0u; l < KEY_TILE; l += LANES / CHUNK) {
                let k = l + local / CHUNK;
                let key = load_row(changed, source + width4 + min(first_key + k, last_key) * step + at);
                tile[QUERY_TILE * CHUNK + ((k % 4u) * KEY_LANES + k / 4u) * KEY_ROW + part] = key;
            }
            workgroupBarrier();
            add_scores(local);
            workgroupBarrier();
        }
        put_scores(local);
        workgroupBarrier();
        let seen = unpacked(ranges[select(0u, QUERY_TILE, changed) + local % QUERY_TILE]);
        weigh(local, i32(seen.x) - i32(first_key), i32(seen.y) - i32(first_key), params.scale * LOG2_E);
        for (var v = 0u; v < KEY_TILE; v += params.value_keys) {
            for (var l = 0u; l < VALUE_KEYS; l += ROWS) {
                let at = source + 2u * width4 + min(first_key + v + l + row, last_key) * step;
                tile[l * COLUMNS + local] = load_row(changed, at + min(column, PARTS - 1u));
            }
            workgroupBarrier();
            if (v == 0u) { rescale(local); }
            for (var k = 0u; k < params.value_keys; k += 4u) { add_values(local, k, (v + k) / 4u); }
            workgroupBarrier();
        }
    }

    finish_totals(local);
    for (var i = 0u; i < OUT; i++) {
        let to = first_row + i * ROWS + row;
        if (exists && to < end_row && column < PARTS) {
            out[(item * params.per_item + to) * width4 + head * PARTS + column] = sum[i] / factors[i * ROWS + row];
        }
    }
}
