// Products of the tiles and the block of `score_stream`, 4 × 4 sums per lane.

// Products of the streamed rows from position `streamed_at` on with the owned rows from `owned_at` on.
fn scores(lane: Lane, streamed: u32, streamed_at: u32, owned: u32, owned_at: u32) -> mat4x4<f32> {
    let at = lane.chunk_at + streamed_at;
    var sum: mat4x4<f32>; // zero-initialized
    for (var c0 = 0u; c0 < params.parts; c0 += CHUNK) {
        let part = min(c0 + lane.index % CHUNK, PARTS - 1u);
        let to = lane.index / CHUNK * STRIDE + lane.index % CHUNK;
        let a0 = load(lane, streamed, min(at, lane.last_at), part);
        let a1 = load(lane, streamed, min(at + 32u * lane.width, lane.last_at), part);
        let b0 = load(lane, owned, min(lane.chunk_at + owned_at, lane.last_at), part);
        workgroupBarrier();
        streamed_tile[to] = a0;
        streamed_tile[to + 32u * STRIDE] = a1;
        owned_tile[to] = b0;
        workgroupBarrier();
        var a_at = lane.index / 8u * STRIDE;
        var b_at = lane.index % 8u * STRIDE;
        for (var c = min(CHUNK, params.parts - c0); c > 0u; c--) {
            var b: mat4x4<f32>;
            for (var n = 0u; n < 4u; n++) { b[n] = owned_tile[b_at + n * 8u * STRIDE]; }
            b = transpose(b);
            for (var m = 0u; m < 4u; m++) {
                let a = streamed_tile[a_at + m * 16u * STRIDE];
                for (var e = 0u; e < 4u; e++) { sum[m] = fma(vec4(a[e]), b[e], sum[m]); }
            }
            a_at++;
            b_at++;
        }
    }
    return sum;
}

// Adds blockᵀ · `count` streamed rows from position `streamed_at` on to the sums of owned rows lane / 16 + 8·n.
fn add_rows(lane: Lane, source: u32, streamed_at: u32, count: u32, sums: mat4x4<f32>) -> mat4x4<f32> {
    let split = lane.index % 16u / COLUMNS;
    let part = min(lane.first_part + lane.index % COLUMNS, PARTS - 1u);
    let to = lane.index / COLUMNS * GROUP_STRIDE + lane.index % COLUMNS;
    let split_rows = 4u * params.steps;
    var sum = sums;
    var at = lane.group_at + streamed_at;
    for (var g0 = 0u; g0 < min(STREAMED, count); g0 += GROUP_ROWS) {
        var rows: array<vec4<f32>, GROUP_SLOTS>;
        for (var l = 0u; l < GROUP_SLOTS; l++) {
            rows[l] = load(lane, source, min(at + l * SLOT_ROWS * lane.width, lane.last_at), part);
        }
        at += GROUP_ROWS * lane.width;
        workgroupBarrier();
        for (var l = 0u; l < GROUP_SLOTS; l++) {
            let inside = SLOT_ROWS <= GROUP_ROWS || lane.index < GROUP_ROWS * COLUMNS;
            if (inside) { streamed_tile[to + l * SLOT_ROWS * GROUP_STRIDE] = rows[l]; }
        }
        workgroupBarrier();
        var weight_at = (g0 + split * split_rows) * 8u + lane.index / 16u;
        var row_at = split * split_rows * GROUP_STRIDE + lane.index % COLUMNS;
        for (var step = 0u; step < params.steps; step++) {
            for (var i = 0u; i < 4u; i++) {
                let weight = block[weight_at + i * 8u];
                let row = streamed_tile[row_at + i * GROUP_STRIDE];
                for (var n = 0u; n < 4u; n++) { sum[n] = fma(vec4(weight[n]), row, sum[n]); }
            }
            weight_at += 32u;
            row_at += 4u * GROUP_STRIDE;
        }
    }
    return sum;
}

// Stores sums of the owned rows from `first` on into a third of d_qkv.
fn store(lane: Lane, sum: mat4x4<f32>, first: u32, third: u32, counts: bool) {
    let part = lane.first_part + lane.index % COLUMNS;
    if (SPLITS > 1u) {
        workgroupBarrier();
        let at = (lane.index % 16u / COLUMNS * OWNED + lane.index / 16u) * COLUMNS + lane.index % COLUMNS;
        for (var n = 0u; n < 4u; n++) { block[at + n * 8u * COLUMNS] = sum[n]; }
        workgroupBarrier();
    }
    for (var l = 0u; l < SUMS; l++) {
        let row = select(lane.index / COLUMNS + l * SLOT_ROWS, lane.index / 16u + l * 8u, SPLITS == 1u);
        var value = sum[l];
        if (SPLITS > 1u) {
            value = vec4(0.0);
            let at = min(row, OWNED - 1u) * COLUMNS + lane.index % COLUMNS;
            for (var s = 0u; s < SPLITS; s++) { value += block[at + s * OWNED * COLUMNS]; }
        }
        if (counts && row < OWNED && first + row < params.tokens && part < PARTS) {
            let row_at = lane.last_at - (params.tokens - 1u - first - row) * lane.width;
            let to = UNIT * (3u * row_at + third * lane.width + lane.head) + 4u * part;
            for (var e = 0u; e < 4u; e++) {
                if (HEAD_ALIGNED || 4u * part + e < HEAD_DIM) { d_qkv[to + e] = value[e]; }
            }
        }
    }
}
