// Products of the tiles and the block of scores of a cluster, 4 × 4 sums per lane.

// Whether the lane stores sums of its block `w` of a product with the chunk from part `chunk` on.
fn sum_counts(lane: Lane, chunk: u32, w: u32) -> bool {
    let in_row = PARTS % COLUMNS == 0u || chunk + lane.part + SIDE * w < PARTS;
    return select(lane.loads, in_row, SPLITS == 1u);
}

// Sum of a row of the left tile.
fn left_sum(lane: Lane, row: u32, parts: u32) -> f32 {
    var sum = vec4(0.0);
    for (var c = 0u; c < parts; c++) { sum += left_tile[lane.left + row * STRIDE + c]; }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

// Adds left tile · right tileᵀ, over the `parts` of a row.
fn block_product(lane: Lane, parts: u32, sums: mat4x4<f32>) -> mat4x4<f32> {
    var sum = sums;
    var left = lane.left + lane.block_row * STRIDE;
    var right = lane.right + lane.block_column * STRIDE;
    for (var c = 0u; c < parts; c++) {
        var b: mat4x4<f32>;
        for (var n = 0u; n < 4u; n++) { b[n] = right_tile[right + n * SIDE * STRIDE]; }
        b = transpose(b);
        for (var m = 0u; m < 4u; m++) {
            let a = left_tile[left + m * SIDE * STRIDE];
            for (var e = 0u; e < 4u; e++) { sum[m] = fma(vec4(a[e]), b[e], sum[m]); }
        }
        left++;
        right++;
    }
    return sum;
}

// Writes the lane's scores into the block.
fn block_put(lane: Lane, block: mat4x4<f32>) {
    let at = lane.right + lane.block_row * BLOCK_STRIDE + lane.block_column;
    for (var m = 0u; m < 4u; m++) { right_tile[at + m * SIDE * BLOCK_STRIDE] = block[m]; }
}

// Adds blockᵀ · left tile: keys block_row + SIDE·n, over the lane's share of the rows in `steps` of four.
fn transposed_product(lane: Lane, steps: u32, w: u32) -> mat4x4<f32> {
    var sum: mat4x4<f32>; // zero-initialized
    let first = lane.split * (TILE / SPLITS);
    var block = lane.right + first * BLOCK_STRIDE + lane.block_row;
    var left = lane.left + first * STRIDE + min(lane.part + SIDE * w, TILE_PARTS - 1u);
    for (var step = 0u; step < steps; step++) {
        for (var i = 0u; i < 4u; i++) {
            let weight = right_tile[block + i * BLOCK_STRIDE];
            let row = left_tile[left + i * STRIDE];
            for (var n = 0u; n < 4u; n++) { sum[n] = fma(vec4(weight[n]), row, sum[n]); }
        }
        block += 4u * BLOCK_STRIDE;
        left += 4u * STRIDE;
    }
    return sum;
}

// Block · left tile: rows block_row + SIDE·m, over the lane's share of the keys in `steps` of four.
fn product_of_block(lane: Lane, steps: u32, w: u32) -> mat4x4<f32> {
    var sum: mat4x4<f32>; // zero-initialized
    let first = lane.split * (SIDE / SPLITS);
    var block = lane.right + lane.block_row * BLOCK_STRIDE + first;
    var left = lane.left + first * STRIDE + min(lane.part + SIDE * w, TILE_PARTS - 1u);
    for (var step = 0u; step < steps; step++) {
        var rows: mat4x4<f32>;
        for (var n = 0u; n < 4u; n++) { rows[n] = left_tile[left + n * SIDE * STRIDE]; }
        for (var m = 0u; m < 4u; m++) {
            let weight = right_tile[block + m * SIDE * BLOCK_STRIDE];
            for (var n = 0u; n < 4u; n++) { sum[m] = fma(vec4(weight[n]), rows[n], sum[m]); }
        }
        block++;
        left += STRIDE;
    }
    return sum;
}

// Exchanges sums of a product among the lanes that share them.
fn sums_put(lane: Lane, sum: mat4x4<f32>) {
    if (SPLITS > 1u) {
        workgroupBarrier();
        let at = lane.right + (lane.split * TILE + lane.block_row) * COLUMNS + lane.part;
        for (var n = 0u; n < 4u; n++) { right_tile[at + SIDE * n * COLUMNS] = sum[n]; }
        workgroupBarrier();
    }
}

// Vector `slot` of the sums that the lane stores.
fn sums_get(lane: Lane, sum: mat4x4<f32>, slot: u32) -> vec4<f32> {
    if (SPLITS == 1u) { return sum[slot]; }
    let at = lane.right + min(lane.row + SLOT_ROWS * slot, TILE - 1u) * COLUMNS + lane.column;
    var value = right_tile[at];
    for (var s = 1u; s < SPLITS; s++) { value += right_tile[at + s * TILE * COLUMNS]; }
    return value;
}
