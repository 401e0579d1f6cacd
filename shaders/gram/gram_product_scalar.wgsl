// Gram matrix of the rows of a panel of the Jacobian, lower triangle: scalar variant, for any width and without
// subgroups.
//
//   high + low [r, n] (+)= Σ_k panel[r, k] · panel[n, k]
//
// An invocation owns a tile of 8 rows × 4 columns. Sums are over blocks of 256 k, then over the blocks. keep = 1 adds
// the total to a compensated pair. Rows are divided into parts of part_rows, of which the first live[0] are samples.
//
// grid   ⌈rows / 8⌉ · ⌈rows / 4⌉ invocations, 64 to a workgroup
// reads  panel (rows, stride), the first `columns` of each row · live (1)
// makes  high, low: lower triangle in bands of 64 rows
// Rows and part_rows are multiples of 64.
#import grid
#import triangle
#import compensated
#import gram
struct Params { rows: u32, part_rows: u32, columns: u32, stride: u32, keep: u32, zero: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> panel: array<f32>;            // (rows, stride)
@group(0) @binding(2) var<storage, read> live: array<u32>;             // (1)
@group(0) @binding(3) var<storage, read_write> high: array<vec4<f32>>; // triangle
@group(0) @binding(4) var<storage, read_write> low: array<vec4<f32>>;  // triangle

const ROWS: u32 = 8u;
const BLOCK: u32 = 256u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column_tiles = params.rows / 4u;
    let tile = grid_index(group, groups) * 64u + local;
    let first_row = tile / column_tiles * ROWS;
    let n = tile % column_tiles * 4u;
    if (!gram_counts(first_row, n, 4u)) { return; }
    let column = (vec4(n) + vec4(0u, 1u, 2u, 3u)) * params.stride;

    var total: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i++) { total[i] = vec4(0.0); }
    for (var first = 0u; first < params.columns; first += BLOCK) {
        var sum: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i++) { sum[i] = vec4(0.0); }
        for (var k = first; k < min(first + BLOCK, params.columns); k++) {
            let at = column + k;
            let b = vec4(panel[at.x], panel[at.y], panel[at.z], panel[at.w]);
            for (var i = 0u; i < ROWS; i++) {
                sum[i] = fma(vec4(panel[(first_row + i) * params.stride + k]), b, sum[i]);
            }
        }
        for (var i = 0u; i < ROWS; i++) { total[i] += sum[i]; }
    }

    for (var i = 0u; i < ROWS; i++) { gram_put(first_row + i, n, total[i]); }
}
