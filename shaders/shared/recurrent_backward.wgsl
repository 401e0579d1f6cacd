// Gradient of one step of a recurrent cell. The importing file computes W_hhᵀ d_a of the next step.
const CELL: u32 = 1u; // spec 0
// 1 to compute the gradient of the conditionings at which sequences begin, from the first step.
const CONDITIONING: u32 = 0u; // spec 1
const GATES: u32 = select(1u, 3u, CELL == 1u);

struct Params { rows: u32, stride: u32, first: u32, after: u32, ends: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;              // W_hh (G·C, C)
@group(0) @binding(2) var<storage, read> saved: array<vec4<f32>>;               // (rows, C): h of a GRU, h' of Elman's
@group(0) @binding(3) var<storage, read_write> gates: array<vec4<f32>>;         // (rows, 4C): r, z, n, q → gradients
@group(0) @binding(4) var<storage, read_write> d_states: array<vec4<f32>>;      // (rows, C)
@group(0) @binding(5) var<storage, read_write> d_hidden: array<vec4<f32>>;      // (rows, G·C)
@group(0) @binding(6) var<storage, read_write> d_conditioning: array<vec4<f32>>; // (sequences, C)

fn row_after(sequence: u32) -> u32 {
    return min(sequence, params.rows - 1u) * params.stride + params.after;
}

// Writes the gradients of the first `rows` rows from sequence `first_row` on, columns 4·c4 to 4·c4 + 3. `sum` is W_hhᵀ
// d_a of the next step.
fn finish(sum: array<vec4<f32>, ROWS>, first_row: u32, rows: u32, c4: u32) {
    let width4 = params.width / 4u;
    var own = sum;
    for (var i = 0u; i < ROWS; i++) {
        if (i < rows) {
            let sequence = first_row + i;
            var d = own[i];
            if (CELL == 1u && params.ends == 0u) { d += d_states[row_after(sequence) * width4 + c4]; }
            if (CONDITIONING == 1u) {
                d_conditioning[sequence * width4 + c4] = d;
                continue;
            }
            let row = sequence * params.stride + params.first;
            d += d_states[row * width4 + c4];
            let h = saved[row * width4 + c4];
            let start = row * GATES * width4 + c4;
            if (CELL == 0u) {
                d_hidden[start] = d * (1.0 - h * h);
                continue;
            }
            let at = 4u * row * width4 + c4;
            let r = gates[at];
            let z = gates[at + width4];
            let n = gates[at + 2u * width4];
            let q = gates[at + 3u * width4];
            let d_n = d * (1.0 - z) * (1.0 - n * n);
            let d_z = d * (h - n) * z * (1.0 - z);
            let d_r = d_n * q * r * (1.0 - r);
            d_hidden[start] = d_r;
            d_hidden[start + width4] = d_z;
            d_hidden[start + 2u * width4] = d_n * r;
            gates[at] = d_r;
            gates[at + width4] = d_z;
            gates[at + 2u * width4] = d_n;
            d_states[row * width4 + c4] = d * z;
        }
    }
}
