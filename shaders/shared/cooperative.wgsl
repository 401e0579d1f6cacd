// Matrix product by cooperative matrices. The importing file defines SIZE and the fragments Left, Right and Sum, each
// of SIZE × SIZE. A workgroup of four subgroups owns TILE × TILE elements of y, each subgroup 2 × 2 fragments.
const LANES: u32 = 32u; // spec 8 64
const WEIGHT_OUT_IN: u32 = 1u; // spec 0

const TILE: u32 = 4u * SIZE;
const STEP: u32 = 32u;                                  // inputs per step
const THREADS: u32 = 4u * LANES;
// Rows of the tiles are padded by 16 bytes, so that they begin in different banks and remain aligned.
const X_STRIDE: u32 = STEP + 8u;
const WEIGHT_STRIDE: u32 = select(TILE, STEP, WEIGHT_OUT_IN == 1u) + 8u;

struct Params { rows: u32, inner: u32, columns: u32, y_stride: u32, y_first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
// x is read as a buffer, because Mesa rounds texels to f16 toward zero.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // (rows, K), no texels
@group(0) @binding(2) var<storage, read> weight: array<vec4<f16>>;    // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;      // (N)
@group(0) @binding(4) var<storage, read> extra: array<vec4<f32>>;     // (rows, N)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;   // (rows·y_stride, N)

var<workgroup> x_tile: array<f16, TILE * X_STRIDE>;                    // (TILE, STEP), padded
var<workgroup> weight_tile: array<f16, TILE * (STEP + 8u)>;            // (TILE, STEP) or (STEP, TILE), padded
var<workgroup> made: array<f32, 4u * SIZE * SIZE>;                     // one fragment per subgroup

// Loads the inputs k0 .. k0 + STEP of both operands into the tiles. Elements past the edges are zero.
fn fetch(first_row: u32, first_column: u32, k0: u32, local: u32) {
    for (var slot = local; slot < TILE * STEP / 4u; slot += THREADS) {
        let row = slot / (STEP / 4u);
        let k = 4u * (slot % (STEP / 4u));
        var value = vec4<f16>();
        if (first_row + row < params.rows && k0 + k < params.inner) {
            value = vec4<f16>(x[((first_row + row) * params.inner + k0 + k) / 4u]);
        }
        for (var c = 0u; c < 4u; c++) { x_tile[row * X_STRIDE + k + c] = value[c]; }
    }
    let width = select(TILE, STEP, WEIGHT_OUT_IN == 1u) / 4u;
    let first = select(vec2(k0, first_column), vec2(first_column, k0), WEIGHT_OUT_IN == 1u);
    let size = select(vec2(params.inner, params.columns), vec2(params.columns, params.inner), WEIGHT_OUT_IN == 1u);
    for (var slot = local; slot < TILE * STEP / 4u; slot += THREADS) {
        let at = vec2(slot / width, 4u * (slot % width));
        var value = vec4<f16>();
        if (all(first + at < size)) { value = weight[((first.x + at.x) * size.y + first.y + at.y) / 4u]; }
        for (var c = 0u; c < 4u; c++) { weight_tile[at.x * WEIGHT_STRIDE + at.y + c] = value[c]; }
    }
}

// Writes the fragment at made[start] to y, with its first element at first_row and first_column.
fn finish(start: u32, first_row: u32, first_column: u32, lane: u32) {
    let columns4 = params.columns / 4u;
    for (var slot = lane; slot < SIZE * SIZE / 4u; slot += LANES) {
        let row = first_row + slot / (SIZE / 4u);
        let n4 = first_column / 4u + slot % (SIZE / 4u);
        if (row < params.rows && n4 < columns4) {
            let at = start + 4u * slot;
            let sum = vec4(made[at], made[at + 1u], made[at + 2u], made[at + 3u]) + epilogue_bias(n4);
            y[(row * params.y_stride + params.y_first) * columns4 + n4] = epilogue_value(sum, row * columns4 + n4);
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column_tiles = (params.columns + TILE - 1u) / TILE;
    let tile = grid_index(group, groups);
    let first_row = (tile / column_tiles) * TILE;
    let first_column = (tile % column_tiles) * TILE;
    let lane = local % LANES;
    let subgroup = local / LANES;
    // First row and column of the subgroup's fragments in the tile.
    let row = (subgroup / 2u) * 2u * SIZE;
    let column = (subgroup % 2u) * 2u * SIZE;

    var sum00: Sum;
    var sum01: Sum;
    var sum10: Sum;
    var sum11: Sum;
    for (var k0 = 0u; k0 < params.inner; k0 += STEP) {
        fetch(first_row, first_column, k0, local);
        workgroupBarrier();
        for (var k = 0u; k < STEP; k += SIZE) {
            let a0 = coopLoadT<Left>(&x_tile[row * X_STRIDE + k], X_STRIDE);
            let a1 = coopLoadT<Left>(&x_tile[(row + SIZE) * X_STRIDE + k], X_STRIDE);
            var b0: Right;
            var b1: Right;
            if (WEIGHT_OUT_IN == 1u) {
                b0 = coopLoad<Right>(&weight_tile[column * WEIGHT_STRIDE + k], WEIGHT_STRIDE);
                b1 = coopLoad<Right>(&weight_tile[(column + SIZE) * WEIGHT_STRIDE + k], WEIGHT_STRIDE);
            } else {
                b0 = coopLoadT<Right>(&weight_tile[k * WEIGHT_STRIDE + column], WEIGHT_STRIDE);
                b1 = coopLoadT<Right>(&weight_tile[k * WEIGHT_STRIDE + column + SIZE], WEIGHT_STRIDE);
            }
            sum00 = coopMultiplyAdd(a0, b0, sum00);
            sum01 = coopMultiplyAdd(a0, b1, sum01);
            sum10 = coopMultiplyAdd(a1, b0, sum10);
            sum11 = coopMultiplyAdd(a1, b1, sum11);
        }
        workgroupBarrier();
    }

    let start = subgroup * SIZE * SIZE;
    coopStoreT(sum00, &made[start], SIZE);
    workgroupBarrier();
    finish(start, first_row + row, first_column + column, lane);
    workgroupBarrier();
    coopStoreT(sum01, &made[start], SIZE);
    workgroupBarrier();
    finish(start, first_row + row, first_column + column + SIZE, lane);
    workgroupBarrier();
    coopStoreT(sum10, &made[start], SIZE);
    workgroupBarrier();
    finish(start, first_row + row + SIZE, first_column + column, lane);
    workgroupBarrier();
    coopStoreT(sum11, &made[start], SIZE);
    workgroupBarrier();
    finish(start, first_row + row + SIZE, first_column + column + SIZE, lane);
}
