// Tile of a product in workgroup memory: its sizes, the places of its values, the sum over slices and the store. The
// importing file defines WEIGHT_OUT_IN and binds `params` and `y`, and imports epilogue and cache.
//
// Two decimal digits each: SLICES, ROW_THREADS, COLUMN_THREADS, THREAD_ROWS, THREAD_COLUMNS4.
const TILE: u32 = 116160401u; // spec 116160802 408080802 1604040401

const SLICES: u32 = TILE / 100000000u;
const ROW_THREADS: u32 = (TILE / 1000000u) % 100u;
const COLUMN_THREADS: u32 = (TILE / 10000u) % 100u;
const THREAD_ROWS: u32 = (TILE / 100u) % 100u;
const THREAD_COLUMNS4: u32 = TILE % 100u;
const THREADS: u32 = SLICES * ROW_THREADS * COLUMN_THREADS;
const TILE_ROWS: u32 = ROW_THREADS * THREAD_ROWS;
const TILE_COLUMNS4: u32 = COLUMN_THREADS * THREAD_COLUMNS4;
const TILE_COLUMNS: u32 = 4u * TILE_COLUMNS4;
// Vectors of four inputs per slice in a step, as many as 16 KiB have room for, and of all slices.
// With 8 × 8 sums, half as many: prefetching more of them exceeds 128 registers.
const PARTS: u32 = select(1u, 2u, THREAD_ROWS * THREAD_COLUMNS4 > 8u);
const MOST: u32 = 1024u / (PARTS * SLICES * (TILE_ROWS + TILE_COLUMNS));
const STEP4: u32 = select(select(1u, 2u, MOST >= 2u), 4u, MOST >= 4u);
const STEP: u32 = SLICES * STEP4;
const SPREAD: u32 = max(1u, 8u / STEP);
const SWIZZLED: bool = STEP * (TILE_ROWS + TILE_COLUMNS) == 1024u;
const PADDING: u32 = select(SPREAD, 0u, SWIZZLED);
const X_PLANE: u32 = TILE_ROWS + PADDING;
const WEIGHT_PLANE: u32 = TILE_COLUMNS + PADDING;
const WEIGHTS: u32 = STEP * X_PLANE;                    // first place of the weight
const X_SLOTS: u32 = STEP * TILE_ROWS;
const X_LOADS: u32 = (X_SLOTS + THREADS - 1u) / THREADS;
const WEIGHT_SLOTS: u32 = STEP * TILE_COLUMNS;
const WEIGHT_LOADS: u32 = (WEIGHT_SLOTS + THREADS - 1u) / THREADS;
const SUMS: u32 = THREAD_ROWS * THREAD_COLUMNS4;
const TILE_SUMS: u32 = TILE_ROWS * TILE_COLUMNS4;
// The sums of ADDED slices are added at a time, as many as 16 KiB have room for, OWN vectors per invocation.
const ADDED: u32 = clamp(1024u / TILE_SUMS, 1u, SLICES);
const OWN: u32 = (TILE_SUMS + THREADS - 1u) / THREADS;
const VECTORS: u32 = max(STEP * (X_PLANE + WEIGHT_PLANE), select(ADDED * TILE_SUMS, 0u, SLICES == 1u));

// A step in planes of one vector each, STEP4 per slice: x (STEP, TILE_ROWS), and the weight (STEP, TILE_COLUMNS). In a
// plane of a forward weight, column 4·c + j of each 4·COLUMN_THREADS is at j·COLUMN_THREADS + c. A plane of another
// weight is (4, TILE_COLUMNS4). Later the sums of ADDED slices, (ADDED, TILE_ROWS, TILE_COLUMNS4).
var<workgroup> tile: array<vec4<f32>, VECTORS>;

// Invocations that store neighboring vectors of a row use different banks: planes are padded or, if they fill the
// memory, the places in the plane of vector v are permuted by xor with this value.
fn swizzle(v: u32) -> u32 {
    return select(0u, (v * SPREAD) % 8u, SWIZZLED);
}

// Place of element i·threads + e in plane t of a slice; `own` is the permuted place of element e in plane 0.
fn place(t: u32, i: u32, threads: u32, own: u32) -> u32 {
    if (!SWIZZLED) { return own + i * threads; }
    let within = max(1u, 8u / threads);
    return (own ^ ((i % within) * threads) ^ swizzle(t * SLICES)) + (i / within) * (within * threads);
}

// Place of the plane of vector v of a step.
fn plane(v: u32, size: u32) -> u32 {
    return ((v % SLICES) * STEP4 + v / SLICES) * size;
}

// Weights of the four inputs of plane t for each four columns: element 4·c + j holds those of input j.
fn weights_at(t: u32, own: u32) -> array<vec4<f32>, 4u * THREAD_COLUMNS4> {
    var b: array<vec4<f32>, 4u * THREAD_COLUMNS4>;
    for (var c = 0u; c < THREAD_COLUMNS4; c++) {
        var m: mat4x4<f32>;
        for (var j = 0u; j < 4u; j++) {
            let by_input = own + j * TILE_COLUMNS4 + c * COLUMN_THREADS;
            let by_column = place(t, 4u * c + j, COLUMN_THREADS, own);
            m[j] = tile[t * WEIGHT_PLANE + select(by_input, by_column, WEIGHT_OUT_IN == 1u)];
        }
        if (WEIGHT_OUT_IN == 1u) { m = transpose(m); }
        for (var j = 0u; j < 4u; j++) { b[4u * c + j] = m[j]; }
    }
    return b;
}

// Sums over the slices for the OWN vectors o·THREADS + local of the tile; `sum` are those of the invocation's slice.
fn sum_slices(sum: array<vec4<f32>, SUMS>, local: u32) -> array<vec4<f32>, OWN> {
    let slice = local / (ROW_THREADS * COLUMN_THREADS);
    let row = (local / COLUMN_THREADS) % ROW_THREADS;
    let column = local % COLUMN_THREADS;
    var total: array<vec4<f32>, OWN>; // zero-initialized
    for (var added = 0u; added < SLICES; added += ADDED) {
        if (slice / ADDED == added / ADDED) {
            for (var s = 0u; s < SUMS; s++) {
                let r = (s / THREAD_COLUMNS4) * ROW_THREADS + row;
                let c = (s % THREAD_COLUMNS4) * COLUMN_THREADS + column;
                tile[(slice % ADDED) * TILE_SUMS + r * TILE_COLUMNS4 + c] = sum[s];
            }
        }
        workgroupBarrier();
        for (var o = 0u; o < OWN; o++) {
            let own = min(o * THREADS + local, TILE_SUMS - 1u);
            for (var s = 0u; s < ADDED; s++) { total[o] += tile[s * TILE_SUMS + own]; }
        }
        workgroupBarrier();
    }
    return total;
}

// Stores four columns of row r.
fn finish(r: u32, n4: u32, sum: vec4<f32>) {
    let columns4 = params.columns / 4u;
    if (r >= params.rows || n4 >= columns4) { return; }
    var value = epilogue_value(sum + epilogue_bias(n4), r * columns4 + n4);
    if (CACHE_BITS == 16u) { value = clamp(value, vec4(-CACHE_LARGEST), vec4(CACHE_LARGEST)); }
    y[(r * params.y_stride + params.y_first) * columns4 + n4] = vec4<Cache>(value);
}

// First index in the weight of what the invocation loads into `slot` of each step.
fn start_of(slot: u32, first_n4: u32, inner4: u32, column4: u32) -> u32 {
    if (WEIGHT_OUT_IN == 0u) { return (slot / TILE_COLUMNS4) * (params.columns / 4u) + column4; }
    let p = slot / STEP;
    let c4 = first_n4 + p % COLUMN_THREADS + (p / (4u * COLUMN_THREADS)) * COLUMN_THREADS;
    return min(4u * c4 + (p / COLUMN_THREADS) % 4u, params.columns - 1u) * inner4;
}
