// Matrix product of a batch of rows with a weight, by subgroups.
//
//   y[r, n] = epilogue( Σ_k x[r, k] · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// A subgroup owns ROWS rows × 4·LANES columns. Each lane loads four inputs of every row and the subgroup passes
// them round by shuffles, so that a load serves 4·LANES columns and no barrier or workgroup memory is needed. It may go on
// to further `tiles` of columns; with KEEPS = 1 a row's inputs, 4·LANES at most, are loaded once for all of them.
//
// grid   ⌈rows / ROWS⌉ · ⌈⌈N / (4·LANES)⌉ / tiles⌉ subgroups, SUBGROUPS to a workgroup
// reads  x (rows, K) · weight (N, K) or (K, N) · bias (N) · extra (rows, N)
// makes  y (rows, N), row r at r·y_stride + y_first
// K and N are multiples of 4.
#import grid
#import tanh
#import activation
#import epilogue
#import weight
#import cache
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 4u; // spec 1 2
const WEIGHT_OUT_IN: u32 = 1u; // spec 0
const KEEPS: u32 = 0u; // spec 1

const ROWS: u32 = 16u; // spec 24 32

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32, tiles: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // (rows, K)
@group(0) @binding(2) var<storage, read> weight: array<vec4<Weight>>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;      // (N)
@group(0) @binding(4) var<storage, read> extra: array<vec4<f32>>;     // (rows, N)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Cache>>; // (rows·y_stride, N)

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let column_tiles = (params.columns + 4u * LANES - 1u) / (4u * LANES);
    let runs = (column_tiles + params.tiles - 1u) / params.tiles;
    let run = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let first_row = (run / runs) * ROWS;
    if (first_row >= params.rows) { return; }
    let last_row = params.rows - 1u;
    let inner4 = params.inner / 4u;
    let columns4 = params.columns / 4u;

    var a: array<vec4<f32>, ROWS>;
    if (KEEPS == 1u) {
        for (var i = 0u; i < ROWS; i++) { a[i] = x[min(first_row + i, last_row) * inner4 + min(lane, inner4 - 1u)]; }
    }
    for (var tile = 0u; tile < select(1u, params.tiles, KEEPS == 1u); tile++) {
        let n = ((run % runs) * params.tiles + tile) * 4u * LANES + 4u * lane;
        let n_safe = min(n, params.columns - 4u);
        var sum: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
        for (var k0 = 0u; k0 < inner4; k0 += LANES) {
            let k = min(k0 + lane, inner4 - 1u);
            if (KEEPS == 0u) {
                for (var i = 0u; i < ROWS; i++) { a[i] = x[min(first_row + i, last_row) * inner4 + k]; }
            }
            for (var source = 0u; source < min(LANES, inner4 - k0); source++) {
                var b: array<vec4<f32>, 4>;
                if (WEIGHT_OUT_IN == 1u) {
                    let at = n_safe * inner4 + k0 + source;
                    let w0 = vec4<f32>(weight[at]);
                    let w1 = vec4<f32>(weight[at + inner4]);
                    let w2 = vec4<f32>(weight[at + 2u * inner4]);
                    let w3 = vec4<f32>(weight[at + 3u * inner4]);
                    b[0] = vec4(w0.x, w1.x, w2.x, w3.x);
                    b[1] = vec4(w0.y, w1.y, w2.y, w3.y);
                    b[2] = vec4(w0.z, w1.z, w2.z, w3.z);
                    b[3] = vec4(w0.w, w1.w, w2.w, w3.w);
                } else {
                    let at = 4u * (k0 + source) * columns4 + n_safe / 4u;
                    b[0] = vec4<f32>(weight[at]);
                    b[1] = vec4<f32>(weight[at + columns4]);
                    b[2] = vec4<f32>(weight[at + 2u * columns4]);
                    b[3] = vec4<f32>(weight[at + 3u * columns4]);
                }
                for (var j = 0u; j < 4u; j++) {
                    for (var i = 0u; i < ROWS; i++) {
                        sum[i] = fma(vec4(subgroupShuffle(a[i][j], source)), b[j], sum[i]);
                    }
                }
            }
        }

        let rows = select(0u, params.rows, n < params.columns);
        let start = epilogue_bias(n_safe / 4u);
        for (var i = 0u; i < ROWS; i++) {
            let row = first_row + i;
            if (row < rows) {
                var value = epilogue_value(sum[i] + start, row * columns4 + n / 4u);
                if (CACHE_BITS == 16u) { value = clamp(value, vec4(-CACHE_LARGEST), vec4(CACHE_LARGEST)); }
                y[(row * params.y_stride + params.y_first) * columns4 + n / 4u] = vec4<Cache>(value);
            }
        }
    }
}
