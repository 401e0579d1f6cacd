// Inputs of attention that are drawn, not stored: integers n of 8 bits, from a generator with the counter (row, four
// columns, tensor) and the seed as key, divided by 64. Half of the queries have the integers of one of their keys added,
// which then has most of their probability: of their last one, the first one, or any.
struct Params {
    rows: u32,       // of this tensor: samples · heads · positions
    positions: u32,
    heads: u32,
    width: u32,
    tensor: u32,     // 0 q, 1 k, 2 v, 3 d_out
    keys: u32,       // of a query
    key_heads: u32,
    causal: u32,
    offset: u32,     // strides of the buffer
    sample: u32,
    position: u32,
    head: u32,
    seed_low: u32,
    seed_high: u32,
}
@group(0) @binding(0) var<uniform> params: Params;

fn drawn_words(row: u32, columns: u32, tensor: u32) -> vec4<u32> {
    return philox_rounds(vec4(row, columns, tensor, 0u), vec2(params.seed_low, params.seed_high), 7u);
}

fn drawn_integers(row: u32, columns: u32, tensor: u32) -> vec4<i32> {
    return vec4<i32>(drawn_words(row, columns, tensor) >> vec4<u32>(24u)) - vec4<i32>(128);
}

// Values of four columns of a row.
fn drawn_values(row: u32, columns: u32) -> vec4<f32> {
    var n = drawn_integers(row, columns, params.tensor);
    if (params.tensor == 0u) {
        let words = drawn_words(row, 0u, 4u);
        let kind = words.x & 7u;
        if (kind >= 4u) {
            let position = row % params.positions;
            let head = row / params.positions % params.heads;
            let sample = row / params.positions / params.heads;
            let seen = select(params.keys, params.keys - params.positions + position + 1u, params.causal == 1u);
            let key = select(select(words.y % seen, 0u, kind == 5u), seen - 1u, kind == 4u);
            let key_head = head / (params.heads / params.key_heads);
            n += drawn_integers((sample * params.key_heads + key_head) * params.keys + key, columns, 1u);
        }
    }
    return vec4<f32>(n) * 0.015625;
}

// Index of the first column of a row in the buffer.
fn row_index(row: u32) -> u32 {
    let position = row % params.positions;
    let head = row / params.positions % params.heads;
    let sample = row / params.positions / params.heads;
    return params.offset + sample * params.sample + position * params.position + head * params.head;
}
