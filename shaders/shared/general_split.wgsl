// Operands of a split of the forward pass of general attention: all bindings, queries in workgroup memory, and their products
// with keys. The importing file imports cache, strided_rows and general_rows, and defines LANES and SUBS.
const ROWS: u32 = 4u; // spec 1 2
const PARTS: u32 = 32u; // spec 16 64       vectors of a query

struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, group: u32, width: u32, value_width: u32, splits: u32, columns: u32,
    q_offset: u32, q_sample: u32, q_position: u32, q_head: u32, k_offset: u32, k_sample: u32, k_position: u32, k_head: u32,
    v_offset: u32, v_sample: u32, v_position: u32, v_head: u32,
    scale: f32, softcap: f32, before: u32, after: u32, past: u32, counted: u32,
    biased: u32, bias_sample: u32, bias_head: u32, bias_query: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Cache>;
@group(0) @binding(2) var<storage, read> k: array<Cache>;
@group(0) @binding(3) var<storage, read> v: array<Cache>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_counts: array<u32>;           // (B)
@group(0) @binding(6) var<storage, read_write> part: array<f32>;           // (B, H, Tq, splits, Dv)
@group(0) @binding(7) var<storage, read_write> part_sum: array<vec2<f32>>; // (B, H, Tq, splits)

var<workgroup> query_tile: array<vec4<f32>, ROWS * PARTS>;

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    if (source == KEY) { return f32(k[at]); }
    return f32(v[at]);
}

// The head of a row of a key head: row i·Tq + t is query t of the i-th head of the group.
fn head_of(kv_head: u32, row: u32) -> u32 { return kv_head * params.group + row / params.queries; }

// Loads the queries of the rows from `first` on, of which the last is repeated.
fn load_queries(lane: u32, sample: u32, kv_head: u32, first: u32) {
    for (var t = lane; t < ROWS * PARTS; t += LANES) {
        let row = min(first + t / PARTS, params.group * params.queries - 1u);
        query_tile[t] = load(rows_of_queries(sample, head_of(kv_head, row)), row % params.queries, t % PARTS);
    }
}

// Products of the rows with the lane's parts of its four keys of those from `first` on.
fn products(lane: u32, rows: Rows, first: u32) -> array<vec4<f32>, ROWS> {
    let j = first + lane / SUBS * 4u;
    var sum: array<vec4<f32>, ROWS>; // zero-initialized
    for (var c = lane % SUBS; c < (params.width + 3u) / 4u; c += SUBS) {
        let key = transpose(mat4x4<f32>(load(rows, j, c), load(rows, j + 1u, c), load(rows, j + 2u, c), load(rows, j + 3u, c)));
        for (var r = 0u; r < ROWS; r++) {
            let query = query_tile[r * PARTS + c];
            for (var e = 0u; e < 4u; e++) { sum[r] = fma(vec4(query[e]), key[e], sum[r]); }
        }
    }
    return sum;
}
