// Sampling of whole sequences from a narrow causal transformer in one launch: all patches, all layers.
//
//   x        = tanh(W_t patch_{t−1} + b_t) + position_t        patch_{−1} = 0; with START = 1, start + position_0
//   x        = layers(x), with the keys and values of the patches up to t
//   logits_t = W_b relu(W_a x + b_a) + b_b                     phases_t likewise
//   token_t  as in draw with the word philox(counter = (sample, t, step, 0), key = seed), or given
//
// A workgroup owns ROWS samples, whose rows of width C stay in workgroup memory. Weights are packed (weights_pack): the
// vec4 (4k + i)·O/4 + o holds the inputs 4k.. of output 4o + i, so that invocations with consecutive groups of four
// outputs read consecutive vec4s. Biases follow their weights.
//
// The hidden layer exists in chunks. An invocation computes four units of four samples of a chunk. Then SLICES
// invocations share the inputs of four outputs and keep the sums over all chunks; the slices are added at the end. Group
// k of four units belongs to slice k mod SLICES, and attention takes KEYS keys at a time, whatever ROWS is: ROWS changes
// no bit.
//
// grid   ⌈B / ROWS⌉ workgroups of 128 invocations
// reads  packed · step: seed (2), step number, learning rate · tokens (B, T) if given = 1
// makes  tokens (B, T) · log_p (B, T) · outcomes: logits (B, T, V), phases (B, T, V) · cache (K, B, T, 3C)
// C = 4·WIDTH4, at most 64; F and the width of heads are multiples of 4; H ≤ 16; V ≤ 256.
#import grid
#import tanh
#import activation
#import dot_add
#import cache
#import norm
#import philox
#import sector
#import draw
const WIDTH4: u32 = 8u; // spec 5 16
const ROWS: u32 = 8u; // spec 4
const SLICES: u32 = 16u; // spec 8
const PRE_NORM: u32 = 0u; // spec 1
const START: u32 = 0u; // spec 1
const AHEAD: u32 = 2u; // spec 4

const LANES: u32 = 128u;
const WIDTH: u32 = 4u * WIDTH4;
const OUTPUTS: u32 = ROWS * WIDTH4;       // groups of four columns of all rows, at most one for each invocation
const CHUNK4: u32 = 4u * LANES / ROWS;    // groups of four units of a chunk
const KEYS: u32 = 8u;
const SMALLEST: f32 = -1e30;              // start of the maximum
const MASKED: f32 = -3e38;                // has the weight 0 whatever the maximum is

// Positions of weights are in vec4s; those of a layer count from its start.
struct Params {
    samples: u32, patches: u32, sites_per_patch: u32, outcomes: u32, excitations: u32, first_sample: u32, given: u32,
    layers: u32, heads: u32, hidden4: u32, scale: f32, layer_weights: u32, layer_cache: u32, attention_out: u32, norm1: u32,
    linear1: u32, linear2: u32, norm2: u32, last_norm: u32, embedding: u32, position: u32, head: u32, head_out: u32,
    heads_weights: u32, parts: u32, part_outcomes: u32, width4: u32
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
fn sample_of(row: u32) -> u32 { return min(first_sample + row, params.samples - 1u); }

fn is_stored(row: u32) -> bool { return first_sample + row < params.samples; }

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

// The embedded rows of patch t.
fn embed(t: u32) {
    if (lane < OUTPUTS) {
        let sites = params.sites_per_patch;
        let bias = params.embedding + WIDTH4 * sites;
        let bits = select(drawn_token[own_row], 0u, t == 0u);
        var sum = packed[bias + own_column];
        for (var j = 0u; j < sites; j++) {
            var weight: vec4<f32>;
            for (var e = 0u; e < 4u; e++) {
                let at = (4u * own_column + e) * sites + j;
                weight[e] = packed[params.embedding + at / 4u][at % 4u];
            }
            sum += select(vec4(0.0), weight, ((bits >> j) & 1u) == 1u);
        }
        var value = tanh_value4(sum);
        if (START == 1u) { value = select(value, packed[bias + WIDTH4 + own_column], t == 0u); }
        rows[X + lane] = value + packed[params.position + t * WIDTH4 + own_column];
    }
    workgroupBarrier();
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

// The vec4 in the cache of the first query of patch t of a sample.
fn cache_at(layer: u32, sample: u32, t: u32) -> u32 {
    return layer * params.layer_cache + (sample * params.patches + t) * 3u * WIDTH4;
}

// Queries, keys and values of patch t from the rows at `source`: into the cache, and the queries also into ATTENDED.
fn project(source: u32, layer: u32, t: u32) {
    for (var i = lane; i < 3u * OUTPUTS; i += LANES) {
        let row = i / (3u * WIDTH4);
        let o4 = i % (3u * WIDTH4);
        var value = linear(source + row * WIDTH4, layer * params.layer_weights, 3u * WIDTH4, o4);
        if (CACHE_BITS == 16u) { value = clamp(value, vec4(-CACHE_LARGEST), vec4(CACHE_LARGEST)); }
        let stored = vec4<Cache>(value);
        if (o4 < WIDTH4) { rows[ATTENDED + row * WIDTH4 + o4] = vec4<f32>(stored) * params.scale; }
        if (is_stored(row)) { cache[cache_at(layer, sample_of(row), t) + o4] = stored; }
    }
    storageBarrier();
    workgroupBarrier();
}

// Attention of patch t from the queries in ATTENDED, which its output replaces.
fn attend(layer: u32, t: u32) {
    let head4 = WIDTH4 / params.heads;
    // The key of patch 0 that the own scores belong to, and the value of patch 0 of the own output.
    let values = cache_at(layer, sample_of(min(own_row, ROWS - 1u)), 0u) + 2u * WIDTH4 + own_column;
    let scores = (min(own_row, ROWS - 1u) * params.heads + own_column / head4) * (KEYS / 4u);
    var sum = vec4(0.0);
    var total = 0.0;
    var largest = SMALLEST;
    for (var first = 0u; first <= t; first += KEYS) {
        for (var i = lane; i < ROWS * params.heads * (KEYS / 4u); i += LANES) {
            // Four keys of a head of a row.
            let head = i % params.heads;
            let row = i / params.heads % ROWS;
            let four = i / (params.heads * ROWS);
            let query = ATTENDED + row * WIDTH4 + head * head4;
            let keys = cache_at(layer, sample_of(row), 0u) + WIDTH4 + head * head4;
            var score: vec4<f32>;
            for (var e = 0u; e < 4u; e++) {
                let key = first + 4u * four + e;
                let at = keys + min(key, t) * 3u * WIDTH4;
                var product = 0.0;
                for (var c = 0u; c < head4; c++) { product += dot(rows[query + c], vec4<f32>(cache[at + c])); }
                score[e] = select(MASKED, product, key <= t);
            }
            scratch[(row * params.heads + head) * (KEYS / 4u) + four] = score;
        }
        workgroupBarrier();
        if (lane < OUTPUTS) {
            var four = scratch[scores];
            for (var k = 1u; k < KEYS / 4u; k++) { four = max(four, scratch[scores + k]); }
            let next = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
            let factor = exp(largest - next);
            largest = next;
            sum *= factor;
            total *= factor;
            for (var k = 0u; k < KEYS / 4u; k++) {
                let weight = exp(scratch[scores + k] - next);
                for (var e = 0u; e < 4u; e++) {
                    let at = values + min(first + 4u * k + e, t) * 3u * WIDTH4;
                    total += weight[e];
                    sum += weight[e] * vec4<f32>(cache[at]);
                }
            }
        }
        workgroupBarrier();
    }
    if (lane < OUTPUTS) { rows[ATTENDED + lane] = sum / total; }
    workgroupBarrier();
}

// Adds the output of attention to the rows X.
fn add_attention(weight: u32) {
    if (lane < OUTPUTS) {
        rows[X + lane] += linear(ATTENDED + own_row * WIDTH4, weight, WIDTH4, own_column);
    }
    workgroupBarrier();
}

// Adds the feed-forward part of the rows NORMED to the rows at `into`.
fn add_feed_forward(layer: u32, into: u32) {
    let hidden4 = params.hidden4;
    let weight1 = layer * params.layer_weights + params.linear1;
    let weight2 = layer * params.layer_weights + params.linear2;
    let own_unit = lane % CHUNK4;
    let four_rows = lane / CHUNK4 * 4u;
    let adds = lane < SLICES * WIDTH4;
    let slice = min(lane / WIDTH4, SLICES - 1u);
    var sum: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { sum[r] = vec4(0.0); }
    for (var chunk = 0u; chunk < hidden4; chunk += CHUNK4) {
        let unit = min(chunk + own_unit, hidden4 - 1u);
        let bias = packed[weight1 + 4u * WIDTH4 * hidden4 + unit];
        var h: array<vec4<f32>, 4>;
        for (var r = 0u; r < 4u; r++) { h[r] = bias; }
        for (var first = 0u; first < params.width4; first += AHEAD) {
            var w: array<vec4<f32>, 4u * AHEAD>;
            for (var k = 0u; k < AHEAD; k++) {
                let at = weight1 + 4u * inside(first + k) * hidden4 + unit;
                for (var i = 0u; i < 4u; i++) { w[4u * k + i] = packed[at + i * hidden4]; }
            }
            for (var k = 0u; k < AHEAD; k++) {
                for (var r = 0u; r < 4u; r++) {
                    let x = column(NORMED + (four_rows + r) * WIDTH4, first + k);
                    h[r] = products(h[r], x, w[4u * k], w[4u * k + 1u], w[4u * k + 2u], w[4u * k + 3u]);
                }
            }
        }
        for (var r = 0u; r < 4u; r++) {
            let value = select(vec4(0.0), activation_value4(h[r]), chunk + own_unit < hidden4);
            scratch[(four_rows + r) * CHUNK4 + own_unit] = value;
        }
        workgroupBarrier();
        if (adds) {
            for (var first = slice; first < CHUNK4; first += AHEAD * SLICES) {
                var w: array<vec4<f32>, 4u * AHEAD>;
                for (var k = 0u; k < AHEAD; k++) {
                    let at = weight2 + 4u * min(chunk + first + k * SLICES, hidden4 - 1u) * WIDTH4 + lane % WIDTH4;
                    for (var i = 0u; i < 4u; i++) { w[4u * k + i] = packed[at + i * WIDTH4]; }
                }
                for (var k = 0u; k < AHEAD; k++) {
                    for (var r = 0u; r < ROWS; r++) {
                        let x = scratch[r * CHUNK4 + first + k * SLICES];
                        sum[r] = products(sum[r], x, w[4u * k], w[4u * k + 1u], w[4u * k + 2u], w[4u * k + 3u]);
                    }
                }
            }
        }
        workgroupBarrier();
    }
    // Four rows at a time, which fit.
    for (var g = 0u; g < ROWS / 4u; g++) { // unroll
        if (adds) {
            for (var r = 0u; r < 4u; r++) { scratch[r * SLICES * WIDTH4 + lane] = sum[4u * g + r]; }
        }
        workgroupBarrier();
        if (own_row / 4u == g && lane < OUTPUTS) {
            var total = packed[weight2 + 4u * WIDTH4 * hidden4 + own_column];
            let sums = own_row % 4u * SLICES * WIDTH4 + own_column;
            for (var s = 0u; s < SLICES; s++) { total += scratch[sums + s * WIDTH4]; }
            rows[into + lane] += total;
        }
        workgroupBarrier();
    }
}

// Hidden layer of a head from the rows at `source`, into ATTENDED.
fn head_hidden(source: u32, weight: u32) {
    if (lane < OUTPUTS) {
        rows[ATTENDED + lane] = max(linear(source + own_row * WIDTH4, weight, WIDTH4, own_column), vec4(0.0));
    }
    workgroupBarrier();
}

fn draw_logit(at: u32) -> f32 { return scratch[at / 4u][at % 4u]; }

// Patch t of each sample from the logits in `scratch`.
fn draw_patch(t: u32) {
    if (lane < ROWS) {
        let sample = sample_of(lane);
        let at = sample * params.patches + t;
        let start = lane * ((params.outcomes + 3u) / 4u) * 4u;
        let before = select(occupied[lane], 0u, t == 0u);
        let sector = Sector(params.excitations, params.sites_per_patch, params.patches);
        let room = sector_room(sector, t, before);
        let word = philox(vec4(params.first_sample + sample, t, step[2], 0u), vec2(step[0], step[1])).x;
        let drawn = draw(start, params.outcomes, room, word);
        var token = drawn.token;
        if (params.given == 1u) { token = min(tokens[at], params.outcomes - 1u); }
        if (is_stored(lane)) {
            if (params.given == 0u) { tokens[at] = token; }
            log_p[at] = draw_log_p(drawn, start, token, room);
        }
        drawn_token[lane] = token;
        occupied[lane] = before + countOneBits(token);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    lane = local;
    own_row = local / WIDTH4;
    own_column = local % WIDTH4;
    first_sample = grid_index(group, groups) * ROWS;
    let outcomes4 = (params.outcomes + 3u) / 4u;
    for (var t = 0u; t < params.patches; t++) {
        embed(t);
        for (var layer = 0u; layer < params.layers; layer++) {
            let weights = layer * params.layer_weights;
            if (PRE_NORM == 1u) {
                normalize(X, NORMED, weights + params.norm1);
                project(NORMED, layer, t);
                attend(layer, t);
                add_attention(weights + params.attention_out);
                normalize(X, NORMED, weights + params.norm2);
                add_feed_forward(layer, X);
            } else {
                project(X, layer, t);
                attend(layer, t);
                add_attention(weights + params.attention_out);
                normalize(X, NORMED, weights + params.norm1);
                add_feed_forward(layer, NORMED);
                normalize(NORMED, X, weights + params.norm2);
            }
        }
        var top = X;
        if (PRE_NORM == 1u) {
            normalize(X, NORMED, params.last_norm);
            top = NORMED;
        }
        // Part 0 are logits, part 1 phases.
        for (var part = 0u; part < params.parts; part++) {
            head_hidden(top, params.head + part * params.heads_weights);
            for (var i = lane; i < ROWS * outcomes4; i += LANES) {
                let row = i / outcomes4;
                let o4 = i % outcomes4;
                let weight = params.head_out + part * params.heads_weights;
                let value = linear(ATTENDED + row * WIDTH4, weight, outcomes4, o4);
                if (part == 0u) { scratch[i] = value; }
                let at = part * params.part_outcomes + (sample_of(row) * params.patches + t) * params.outcomes;
                for (var o = 4u * o4; o < min(4u * o4 + 4u, params.outcomes); o++) {
                    if (is_stored(row)) { outcomes[at + o] = value[o % 4u]; }
                }
            }
            workgroupBarrier();
        }
        draw_patch(t);
    }
}
