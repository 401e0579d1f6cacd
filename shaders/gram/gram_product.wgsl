// Gram matrix of the rows of a panel of the Jacobian, lower triangle: subgroup variant.
//
//   high + low [r, n] (+)= Σ_k panel[r, k] · panel[n, k]
//
// A subgroup owns ROWS rows × 4·LANES columns, as in linear_product: lanes load four k of every row and broadcast them
// by shuffles. Sums are over blocks of 256 k, then over the blocks. keep = 1 adds the total to a compensated pair. Rows
// are divided into parts of part_rows, of which the first live[0] are samples.
//
// grid   ⌈rows / ROWS⌉ · ⌈rows / (4·LANES)⌉ subgroups, SUBGROUPS to a workgroup
// reads  panel (rows, stride), the first `columns` of each row · live (1)
// makes  high, low: lower triangle in bands of 64 rows
// Columns and stride are multiples of 4, rows and part_rows of 64.
#import grid
#import triangle
#import compensated
#import gram
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 2u; // spec 1 4
const ROWS: u32 = 16u; // spec 8

struct Params { rows: u32, part_rows: u32, columns: u32, stride: u32, keep: u32, zero: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> panel: array<vec4<f32>>;      // (rows, stride)
@group(0) @binding(2) var<storage, read> live: array<u32>;             // (1)
@group(0) @binding(3) var<storage, read_write> high: array<vec4<f32>>; // triangle
@group(0) @binding(4) var<storage, read_write> low: array<vec4<f32>>;  // triangle

const BLOCK4: u32 = 64u;

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let column_tiles = (params.rows + 4u * LANES - 1u) / (4u * LANES);
    let tile = grid_index(group, groups) * SUBGROUPS + local / LANES;
    let first_row = tile / column_tiles * ROWS;
    let first_column = tile % column_tiles * 4u * LANES;
    if (!gram_counts(first_row, first_column, 4u * LANES)) { return; }
    let n = first_column + 4u * lane;
    let n_safe = min(n, params.rows - 4u);
    let stride4 = params.stride / 4u;
    let inner4 = params.columns / 4u;

    var total: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { total[i] = vec4(0.0); }
    for (var first = 0u; first < inner4; first += BLOCK4) {
        var sum: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
        let end = min(first + BLOCK4, inner4);
        for (var k0 = first; k0 < end; k0 += LANES) {
            let k = min(k0 + lane, inner4 - 1u);
            var a: array<vec4<f32>, ROWS>;
            for (var i = 0u; i < ROWS; i++) { a[i] = panel[(first_row + i) * stride4 + k]; }
            for (var source = 0u; source < min(LANES, end - k0); source++) {
                let at = n_safe * stride4 + k0 + source;
                let b = transpose(mat4x4(panel[at], panel[at + stride4], panel[at + 2u * stride4], panel[at + 3u * stride4]));
                for (var j = 0u; j < 4u; j++) {
                    for (var i = 0u; i < ROWS; i++) {
                        sum[i] = fma(vec4(subgroupShuffle(a[i][j], source)), b[j], sum[i]);
                    }
                }
            }
        }
        for (var i = 0u; i < ROWS; i++) { total[i] += sum[i]; }
    }

    if (n >= triangle_width(first_row) || !gram_is_sample(n)) { return; }
    for (var i = 0u; i < ROWS; i++) { gram_put(first_row + i, n, total[i]); }
}
