// One step of a recurrent cell: the rows that it reads and writes, and the new state from W_hh h. The previous state of
// a row is in one of three buffers: 1 the states themselves, 2 the states of the base samples, 4 the conditionings at
// which sequences begin. SOURCES is the sum of those that occur in the step; 0 means that all previous states are zero.
const CELL: u32 = 1u; // spec 0
const SOURCES: u32 = 1u; // spec 0 4 7
const LINKED: u32 = 0u; // spec 1
const KEEPS: u32 = 0u; // spec 1
const GATES: u32 = select(1u, 3u, CELL == 1u);

struct Params {
    rows: u32, count: u32, first: u32, row_stride: u32, state_stride: u32, state_first: u32, back: u32,
    conditioning_stride: u32, conditioning_first: u32, starts: u32, width: u32, sites: u32, bias_input: u32, bias_state: u32,
    gates: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;            // row metadata, or links if LINKED = 1
@group(0) @binding(2) var<storage, read> input: array<f32>;                 // W_ih (G·C, P) with b_ih, b_hh (G·C)
@group(0) @binding(3) var<storage, read> weight: array<vec4<Weight>>;       // W_hh (G·C, C)
@group(0) @binding(4) var<storage, read> base: array<vec4<f32>>;            // (rows, C)
@group(0) @binding(5) var<storage, read> conditioning: array<vec4<f32>>;    // (rows, C)
@group(0) @binding(6) var<storage, read_write> states: array<vec4<f32>>;    // (rows, C)
@group(0) @binding(7) var<storage, read_write> gates: array<vec4<f32>>;     // (rows, 4C): r, z, n, q of a GRU
@group(0) @binding(8) var<storage, read_write> previous: array<vec4<f32>>;  // (rows, C): previous states

// A row of the step: index of its state, token, source buffer and index of its previous state.
struct Row { state: u32, token: u32, source: u32, before: u32 }

fn row_of(index: u32) -> Row {
    let at = min(index, params.rows - 1u);
    let item = at / params.count;
    let row = rows[item * params.row_stride + params.first + at % params.count];
    if (LINKED == 1u) { return Row(item * params.state_stride + row.y, row.x, row.z, row.w); }
    let state = item * params.state_stride + params.state_first;
    let first = item * params.conditioning_stride + params.conditioning_first;
    let token = select(row.x, 0u, params.starts == 1u);
    return Row(state, token, SOURCES, select(first, state - params.back, SOURCES == 1u));
}

fn state_before(row: Row, c4: u32) -> vec4<f32> {
    let at = row.before * (params.width / 4u) + c4;
    if (SOURCES == 1u) { return states[at]; }
    if (SOURCES == 4u) { return conditioning[at]; }
    var state = vec4(0.0);
    if ((SOURCES & 1u) != 0u) { state = states[select(0u, at, row.source == 1u)]; }
    if ((SOURCES & 2u) != 0u && row.source == 2u) { state = base[at]; }
    if ((SOURCES & 4u) != 0u && row.source == 4u) { state = conditioning[at]; }
    return select(state, vec4(0.0), row.source == 0u);
}

// Four elements of column j of W_ih.
fn input_weight(gate: u32, c4: u32, j: u32) -> vec4<f32> {
    let at = (gate * params.width + 4u * c4) * params.sites + j;
    return vec4(input[at], input[at + params.sites], input[at + 2u * params.sites], input[at + 3u * params.sites]);
}

fn bias(start: u32, gate: u32, c4: u32) -> vec4<f32> {
    let at = start + gate * params.width + 4u * c4;
    return vec4(input[at], input[at + 1u], input[at + 2u], input[at + 3u]);
}

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(-clamp(x, vec4(-80.0), vec4(80.0))));
}

// The ROWS rows that this invocation owns, and W_hh h of each gate for them.
var<private> own: array<Row, ROWS>;
var<private> sums_first: array<vec4<f32>, ROWS>;
var<private> sums_second: array<vec4<f32>, ROWS>;
var<private> sums_third: array<vec4<f32>, ROWS>;

// Stores the sums of gate g. Arrays indexed by g would be placed in memory instead of registers.
fn keep(g: u32, sums: array<vec4<f32>, ROWS>) {
    for (var i = 0u; i < ROWS; i++) {
        sums_first[i] = select(sums_first[i], sums[i], g == 0u);
        sums_second[i] = select(sums_second[i], sums[i], g == 1u);
        sums_third[i] = select(sums_third[i], sums[i], g == 2u);
    }
}

// Adds inputs and biases and writes the states of the first `rows` rows, columns 4·c4 to 4·c4 + 3.
fn finish(rows: u32, c4: u32) {
    var from_input: array<vec4<f32>, GATES * ROWS>;
    var from_state: array<vec4<f32>, 3>;
    for (var g = 0u; g < GATES; g++) {
        let start = bias(params.bias_input, g, c4);
        for (var i = 0u; i < ROWS; i++) { from_input[g * ROWS + i] = start; }
        from_state[g] = bias(params.bias_state, g, c4);
    }
    for (var j = 0u; j < params.sites; j++) {
        for (var g = 0u; g < GATES; g++) {
            let w = input_weight(g, c4, j);
            for (var i = 0u; i < ROWS; i++) {
                from_input[g * ROWS + i] += select(vec4(0.0), w, ((own[i].token >> j) & 1u) == 1u);
            }
        }
    }
    let width4 = params.width / 4u;
    for (var i = 0u; i < ROWS; i++) {
        if (i < rows) {
            let at = own[i].state * width4 + c4;
            let before = state_before(own[i], c4);
            if (KEEPS == 1u) { previous[at] = before; }
            let a = from_input[i] + (sums_first[i] + from_state[0]);
            if (CELL == 0u) {
                states[at] = tanh_value4(a);
            } else {
                let r = sigmoid4(a);
                let z = sigmoid4(from_input[ROWS + i] + (sums_second[i] + from_state[1]));
                let q = sums_third[i] + from_state[2];
                let n = tanh_value4(fma(r, q, from_input[2u * ROWS + i]));
                states[at] = fma(z, before - n, n);
                if (KEEPS == 1u) {
                    let start = 4u * own[i].state * width4 + c4;
                    gates[start] = r;
                    gates[start + width4] = z;
                    gates[start + 2u * width4] = n;
                    gates[start + 3u * width4] = q;
                }
            }
        }
    }
}
