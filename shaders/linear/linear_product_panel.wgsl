// Matrix product of a batch of rows with a weight: panel variant, for CPU drivers, with a block of the weight in
// constant-indexed arrays.
//
//   y[r, n] = epilogue( Σ_k x[r, k] · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// A subgroup owns `tile_rows` rows × 4·LANES·PANELS columns and iterates over the inputs in blocks of 4·BLOCK. The
// block of its columns of the weight is loaded once, into arrays that are only indexed by constants, and the rows are
// streamed through it. Each lane loads four inputs of a row and the subgroup broadcasts them by shuffles. If there are
// several blocks, partial sums are stored in y.
//
// grid   ⌈rows / tile_rows⌉ · ⌈N / (4·LANES·PANELS)⌉ subgroups
// reads  x (rows, K) · weight (N, K) or (K, N) · bias (N) · extra (rows, N)
// makes  y (rows, N), row r at r·y_stride + y_first
// K and N are multiples of 4.
#import grid
#import tanh
#import activation
#import epilogue
#import weight
#import transpose
#import cache
const LANES: u32 = 8u; // spec
const WEIGHT_OUT_IN: u32 = 1u; // spec 0
const BLOCK: u32 = 8u; // spec
const PANELS: u32 = 1u; // spec
// 1 if one block holds all inputs.
const WHOLE: u32 = 1u; // spec 0

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32, tile_rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // (rows, K)
@group(0) @binding(2) var<storage, read> weight: array<vec4<Weight>>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;      // (N)
@group(0) @binding(4) var<storage, read> extra: array<vec4<f32>>;     // (rows, N)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Cache>>; // (rows·y_stride, N), read back

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let panels = (params.columns + 4u * LANES * PANELS - 1u) / (4u * LANES * PANELS);
    let tile = grid_index(group, groups);
    let first_row = tile / panels * params.tile_rows;
    if (first_row >= params.rows) { return; }
    let end_row = min(first_row + params.tile_rows, params.rows);
    let inner4 = params.inner / 4u;
    let columns4 = params.columns / 4u;
    let first_column = tile % panels * LANES * PANELS + lane;

    for (var k0 = 0u; k0 < select(inner4, 1u, WHOLE == 1u); k0 += BLOCK) {
        // Inputs past the end are zero and contribute nothing.
        var w: array<vec4<f32>, 4u * PANELS * BLOCK>;
        for (var q = 0u; q < BLOCK; q++) { // unroll
            let k = min(k0 + q, inner4 - 1u);
            for (var p = 0u; p < PANELS; p++) { // unroll
                let n = min(first_column + p * LANES, columns4 - 1u);
                let at = select(4u * k * columns4 + n, 4u * n * inner4 + k, WEIGHT_OUT_IN == 1u);
                let step = select(columns4, inner4, WEIGHT_OUT_IN == 1u);
                let w0 = vec4<f32>(weight[at]);
                let w1 = vec4<f32>(weight[at + step]);
                let w2 = vec4<f32>(weight[at + 2u * step]);
                let w3 = vec4<f32>(weight[at + 3u * step]);
                var here = array(w0, w1, w2, w3);
                if (WEIGHT_OUT_IN == 1u) { here = transposed(w0, w1, w2, w3); }
                for (var j = 0u; j < 4u; j++) { w[4u * (PANELS * q + p) + j] = here[j]; } // unroll
            }
        }
        let is_last = k0 + BLOCK >= inner4;
        for (var row = first_row; row < end_row; row++) {
            let y_at = (row * params.y_stride + params.y_first) * columns4;
            var sum: array<vec4<f32>, PANELS>;
            if (WHOLE == 0u) {
                for (var p = 0u; p < PANELS; p++) { // unroll
                    let partial = vec4<f32>(y[y_at + min(first_column + p * LANES, columns4 - 1u)]);
                    sum[p] = select(partial, vec4(0.0), k0 == 0u);
                }
            }
            for (var c = 0u; c < (BLOCK + LANES - 1u) / LANES; c++) { // unroll
                let k = k0 + c * LANES + lane;
                let inputs = select(vec4(0.0), x[row * inner4 + min(k, inner4 - 1u)], k < inner4);
                for (var source = 0u; source < LANES; source++) { // unroll
                    let value = subgroupShuffle(inputs, source);
                    for (var j = 0u; j < 4u; j++) { // unroll
                        for (var p = 0u; p < PANELS; p++) { // unroll
                            sum[p] = fma(vec4(value[j]), w[4u * (PANELS * (c * LANES + source) + p) + j], sum[p]);
                        }
                    }
                }
            }
            for (var p = 0u; p < PANELS; p++) { // unroll
                let n = min(first_column + p * LANES, columns4 - 1u);
                var value = sum[p];
                let done = epilogue_value(value + epilogue_bias(n), row * columns4 + n);
                if (WHOLE == 1u) { value = done; } else { value = select(value, done, is_last); }
                if (CACHE_BITS == 16u) { value = clamp(value, vec4(-CACHE_LARGEST), vec4(CACHE_LARGEST)); }
                if (first_column + p * LANES < columns4) { y[y_at + first_column + p * LANES] = vec4<Cache>(value); }
            }
        }
    }
}
