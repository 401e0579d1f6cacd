// Tiles of heads of any width in workgroup memory, from buffers with strides, and blocks of STREAMED × OWNED scores.
//
// A workgroup of 128 lanes owns OWNED rows of a head (queries or keys) and iterates over the others, STREAMED at a
// time. Products over the head width run in chunks of 16 columns, products over the streamed rows in groups of
// GROUP_ROWS rows. A lane owns 4 × 4 scores: streamed rows lane / 8 + 16·m and owned rows lane % 8 + 8·n, a vector of
// the block.
//
// The importing file imports strided_rows and declares `params.steps` and `put(at, value)`, which stores an element.
const OWNED: u32 = 32u;
const STREAMED: u32 = 64u;
const LANES: u32 = 128u;
const CHUNK: u32 = 4u;                              // vectors of a row in a chunk
const STRIDE: u32 = CHUNK + 1u;                     // padded, so that rows begin in different banks
const COLUMNS: u32 = 4u; // spec 1 2 8 16              vectors of a row of sums in one workgroup
const SPLITS: u32 = 16u / COLUMNS;                  // lanes that share a sum
const GROUP_ROWS: u32 = min(STREAMED, 256u / COLUMNS);
const GROUP_STRIDE: u32 = COLUMNS | 1u;
const SLOT_ROWS: u32 = LANES / COLUMNS;             // rows of sums or of a group that the lanes access at once
const GROUP_SLOTS: u32 = max(1u, GROUP_ROWS / SLOT_ROWS);
const SUMS: u32 = select(max(1u, OWNED / SLOT_ROWS), 4u, SPLITS == 1u); // vectors of sums that a lane stores

var<workgroup> streamed_tile: array<vec4<f32>, STREAMED * STRIDE>;
var<workgroup> owned_tile: array<vec4<f32>, OWNED * STRIDE>;
var<workgroup> block: array<vec4<f32>, STREAMED * OWNED / 4u>;

// Products of `streamed` rows from `first` on with `owned` rows from `own` on, `parts` vectors wide.
fn scores(lane: u32, streamed: Rows, first: u32, owned: Rows, own: u32, parts: u32) -> mat4x4<f32> {
    let row = lane / CHUNK;
    let to = row * STRIDE + lane % CHUNK;
    var sum: mat4x4<f32>; // zero-initialized
    for (var c0 = 0u; c0 < parts; c0 += CHUNK) {
        let part = c0 + lane % CHUNK;
        let a0 = load(streamed, first + row, part);
        let a1 = load(streamed, first + row + 32u, part);
        let b0 = load(owned, own + row, part);
        workgroupBarrier();
        streamed_tile[to] = a0;
        streamed_tile[to + 32u * STRIDE] = a1;
        owned_tile[to] = b0;
        workgroupBarrier();
        var a_at = lane / 8u * STRIDE;
        var b_at = lane % 8u * STRIDE;
        for (var c = min(CHUNK, parts - c0); c > 0u; c--) {
            var b: mat4x4<f32>;
            for (var n = 0u; n < 4u; n++) { b[n] = owned_tile[b_at + n * 8u * STRIDE]; }
            b = transpose(b);
            for (var m = 0u; m < 4u; m++) {
                let a = streamed_tile[a_at + m * 16u * STRIDE];
                for (var e = 0u; e < 4u; e++) { sum[m] = fma(vec4(a[e]), b[e], sum[m]); }
            }
            a_at++;
            b_at++;
        }
    }
    return sum;
}

// Adds blockᵀ · `count` rows from `first` on, of which the sums have the parts from `first_part` on, to the sums of owned
// rows lane / 16 + 8·n.
fn add_rows(lane: u32, rows: Rows, first: u32, count: u32, first_part: u32, sums: mat4x4<f32>) -> mat4x4<f32> {
    let split = lane % 16u / COLUMNS;
    let to = lane / COLUMNS * GROUP_STRIDE + lane % COLUMNS;
    let split_rows = 4u * params.steps;
    var sum = sums;
    for (var g0 = 0u; g0 < min(STREAMED, count); g0 += GROUP_ROWS) {
        var loaded: array<vec4<f32>, GROUP_SLOTS>;
        for (var l = 0u; l < GROUP_SLOTS; l++) {
            loaded[l] = load(rows, first + g0 + lane / COLUMNS + l * SLOT_ROWS, first_part + lane % COLUMNS);
        }
        workgroupBarrier();
        for (var l = 0u; l < GROUP_SLOTS; l++) {
            let inside = SLOT_ROWS <= GROUP_ROWS || lane < GROUP_ROWS * COLUMNS;
            if (inside) { streamed_tile[to + l * SLOT_ROWS * GROUP_STRIDE] = loaded[l]; }
        }
        workgroupBarrier();
        var weight_at = (g0 + split * split_rows) * 8u + lane / 16u;
        var row_at = split * split_rows * GROUP_STRIDE + lane % COLUMNS;
        for (var step = 0u; step < params.steps; step++) {
            for (var i = 0u; i < 4u; i++) {
                let weight = block[weight_at + i * 8u];
                let row = streamed_tile[row_at + i * GROUP_STRIDE];
                for (var n = 0u; n < 4u; n++) { sum[n] = fma(vec4(weight[n]), row, sum[n]); }
            }
            weight_at += 32u;
            row_at += 4u * GROUP_STRIDE;
        }
    }
    return sum;
}

// Stores the sums of the owned rows from `first` on into `rows`.
fn store(lane: u32, sum: mat4x4<f32>, rows: Rows, first: u32, first_part: u32, counts: bool) {
    let part = first_part + lane % COLUMNS;
    if (SPLITS > 1u) {
        workgroupBarrier();
        let at = (lane % 16u / COLUMNS * OWNED + lane / 16u) * COLUMNS + lane % COLUMNS;
        for (var n = 0u; n < 4u; n++) { block[at + n * 8u * COLUMNS] = sum[n]; }
        workgroupBarrier();
    }
    for (var l = 0u; l < SUMS; l++) {
        let row = select(lane / COLUMNS + l * SLOT_ROWS, lane / 16u + l * 8u, SPLITS == 1u);
        var value = sum[l];
        if (SPLITS > 1u) {
            value = vec4(0.0);
            let at = min(row, OWNED - 1u) * COLUMNS + lane % COLUMNS;
            for (var s = 0u; s < SPLITS; s++) { value += block[at + s * OWNED * COLUMNS]; }
        }
        if (counts && row < OWNED && first + row < rows.count) {
            let to = rows.start + (first + row) * rows.step + 4u * part;
            for (var e = 0u; e < 4u; e++) {
                if (4u * part + e < rows.width) { put(to + e, value[e]); }
            }
        }
    }
}
