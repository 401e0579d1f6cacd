// Matrix product of a batch of rows with a weight: subgroup variant.
//
//   y[r, n] = epilogue( Σ_k x[r, k] · M[k, n] )        M = weightᵀ (forward) or weight (input gradient)
//
// A subgroup owns ROWS rows × 4·LANES columns. Each lane loads four inputs of every row and the subgroup broadcasts
// them by shuffles, so that one load serves 4·LANES columns without barriers or workgroup memory.
//
// grid   ⌈rows / ROWS⌉ · ⌈N / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
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
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 4u; // spec 1 2
const WEIGHT_OUT_IN: u32 = 1u; // spec 0

const ROWS: u32 = 16u;

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32 }
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
    let tile = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let first_row = (tile / column_tiles) * ROWS;
    if (first_row >= params.rows) { return; }
    let last_row = params.rows - 1u;
    let inner4 = params.inner / 4u;
    let columns4 = params.columns / 4u;
    let n = (tile % column_tiles) * 4u * LANES + 4u * lane;
    let n_safe = min(n, params.columns - 4u);

    var sum: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
    for (var k0 = 0u; k0 < inner4; k0 += LANES) {
        let k = min(k0 + lane, inner4 - 1u);
        var a: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { a[i] = x[min(first_row + i, last_row) * inner4 + k]; }
        for (var source = 0u; source < min(LANES, inner4 - k0); source++) {
            var b: array<vec4<f32>, 4>;
            if (WEIGHT_OUT_IN == 1u) {
                let at = n_safe * inner4 + k0 + source;
                b = transposed(
                    vec4<f32>(weight[at]), vec4<f32>(weight[at + inner4]),
                    vec4<f32>(weight[at + 2u * inner4]), vec4<f32>(weight[at + 3u * inner4]),
                );
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
