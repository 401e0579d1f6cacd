// Rows of the samples that a workgroup of transformer_decode owns, in workgroup memory, with their products and norms.
// Weights are packed (weights_pack): the vec4 (4k + i)·O/4 + o holds the inputs 4k.. of output 4o + i, so that
// invocations with consecutive groups of four outputs read consecutive vec4s. Biases follow their weights.
const WIDTH4: u32 = 8u; // spec 5 16
const ROWS: u32 = 8u; // spec 4
const AHEAD: u32 = 2u; // spec 4

const LANES: u32 = 128u;
const WIDTH: u32 = 4u * WIDTH4;
const OUTPUTS: u32 = ROWS * WIDTH4;       // groups of four columns of all rows, at most one for each invocation
const CHUNK4: u32 = 4u * LANES / ROWS;    // groups of four units of a chunk

// A launch decodes the samples start..end. Positions of weights are in vec4s; those of a layer count from its start.
// width4 is WIDTH4, as the bound of loops that must not be unrolled: NVK would compile the kernel for more than 2 s.
struct Params {
    start: u32, end: u32, patches: u32, sites_per_patch: u32, outcomes: u32, excitations: u32, first_sample: u32, given: u32,
    layers: u32, heads: u32, hidden4: u32, scale: f32, layer_weights: u32, layer_cache: u32, attention_out: u32,
    norm1: u32, linear1: u32, linear2: u32, norm2: u32, last_norm: u32, embedding: u32, position: u32, head: u32,
    head_out: u32, heads_weights: u32, parts: u32, part_outcomes: u32, width4: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> step: array<u32>;                 // (4)
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;         // (B, T)
@group(0) @binding(4) var<storage, read_write> log_p: array<f32>;          // (B, T)
@group(0) @binding(5) var<storage, read_write> outcomes: array<f32>;       // logits and phases (B, T, V)
@group(0) @binding(6) var<storage, read_write> cache: array<vec4<Cache>>;  // (K, B, T, 3C)

// Parts of `rows`, (ROWS, C) each.
const X: u32 = 0u;
const NORMED: u32 = OUTPUTS;
const ATTENDED: u32 = 2u * OUTPUTS;       // queries, output of attention, or hidden layer of the head
var<workgroup> rows: array<vec4<f32>, 3u * OUTPUTS>;
// A chunk of the hidden layer (ROWS, CHUNK4), scores (ROWS, H, KEYS), sums of slices, or logits (ROWS, ⌈V/4⌉).
var<workgroup> scratch: array<vec4<f32>, ROWS * CHUNK4>;
var<workgroup> drawn_token: array<u32, ROWS>;
var<workgroup> occupied: array<u32, ROWS>;    // sites of the patches before

var<private> lane: u32;
var<private> own_row: u32;                // row and column of the own output
var<private> own_column: u32;
var<private> first_sample: u32;           // of the workgroup

// Past the edge, the last sample is recomputed and not stored.
fn sample_of(row: u32) -> u32 { return min(first_sample + row, params.end - 1u); }

fn is_stored(row: u32) -> bool { return first_sample + row < params.end; }

// Four sums plus the products of x with the weights of four outputs.
fn products(sum: vec4<f32>, x: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4(dot_add(sum.x, x, w0), dot_add(sum.y, x, w1), dot_add(sum.z, x, w2), dot_add(sum.w, x, w3));
}

// Column k of a row, or one to load in its place past the end of a row whose columns are not a multiple of AHEAD.
fn inside(k: u32) -> u32 {
    if (WIDTH4 % AHEAD == 0u) { return k; }
    return min(k, WIDTH4 - 1u);
}

// Column k of the row that begins at `source`; zero past its end.
fn column(source: u32, k: u32) -> vec4<f32> {
    if (WIDTH4 % AHEAD == 0u) { return rows[source + k]; }
    return select(vec4(0.0), rows[source + inside(k)], k < WIDTH4);
}

// Four outputs `o4` of outputs4 · 4, of the row that begins at `source`.
fn linear(source: u32, weight: u32, outputs4: u32, o4: u32) -> vec4<f32> {
    var sum = packed[weight + 4u * WIDTH4 * outputs4 + o4];
    for (var first = 0u; first < params.width4; first += AHEAD) {
        var w: array<vec4<f32>, 4u * AHEAD>;
        for (var k = 0u; k < AHEAD; k++) {
            let at = weight + 4u * inside(first + k) * outputs4 + o4;
            for (var i = 0u; i < 4u; i++) { w[4u * k + i] = packed[at + i * outputs4]; }
        }
        for (var k = 0u; k < AHEAD; k++) {
            let x = column(source, first + k);
            sum = products(sum, x, w[4u * k], w[4u * k + 1u], w[4u * k + 2u], w[4u * k + 3u]);
        }
    }
    return sum;
}

// Layer normalization of the rows at `source`, into those at `into`.
fn normalize(source: u32, into: u32, weight: u32) {
    if (lane < OUTPUTS) {
        let start = source + own_row * WIDTH4;
        var sum = vec4(0.0);
        for (var c = 0u; c < WIDTH4; c++) { sum += rows[start + c]; }
        let mean = dot(sum, vec4(1.0)) / f32(WIDTH);
        var squares = vec4(0.0);
        for (var c = 0u; c < WIDTH4; c++) {
            let away = rows[start + c] - mean;
            squares += away * away;
        }
        let rstd = norm_rstd(dot(squares, vec4(1.0)) / f32(WIDTH));
        let value = (rows[source + lane] - mean) * rstd;
        rows[into + lane] = value * packed[weight + own_column] + packed[weight + WIDTH4 + own_column];
    }
    workgroupBarrier();
}
