// Gradient of attention with respect to queries, keys and values in one pass, for short sequences: tiled variant in
// workgroup memory, for GPUs.
//
//   p_ij = exp(q_i · k_j / √D − lse_i)    s_ij = p_ij (d_out_i · v_j − δ_i) / √D    δ_i = d_out_i · out_i
//   d_q_i = Σ_j s_ij k_j        d_k_j = Σ_i s_ij q_i        d_v_j = Σ_i p_ij d_out_i
//
// Dao et al., arXiv:2205.14135, appendix B. A cluster of (TILE / 4)² lanes owns one head of one sample and iterates
// over blocks of TILE keys and TILE queries. Each lane holds 4 × 4 scores of the block in registers; the other three
// products read p and s from workgroup memory. The sums of several blocks are accumulated in d_qkv, of which a lane
// reads back only its own stores.
//
// grid   B · H clusters, CLUSTERS to a workgroup
// reads  qkv (B·T, 3C) · out (B·T, C) · lse (B·T, H) · d_out (B·T, C) · with DROPOUT step: seed (2), step number, -
// makes  d_qkv (B·T, 3C) · delta (B·T, H)
// D is a multiple of 4; T is up to 16 for tiles of 16 and up to 160 for tiles of 32.
#import grid
#import head
#import score_tile
#import score_product
#import score_rows
#import score_delta
#import philox
#import attention_dropout
#import dropout_block
#import score_dropout

// The loops over `parts`, `loads` and `steps` have bounds at run time so that compilers do not unroll them, which would
// take more registers than a GPU has.
struct Params {
    samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32, parts: u32, loads: u32, steps: u32,
    dropped: u32, factor: f32, site: u32, first_sample: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;            // (B·T, 3C)
@group(0) @binding(2) var<storage, read> out: array<vec4<f32>>;            // (B·T, C)
@group(0) @binding(3) var<storage, read> lse: array<f32>;                  // (B·T, H)
@group(0) @binding(4) var<storage, read> d_out: array<vec4<f32>>;          // (B·T, C)
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4<f32>>;    // (B·T, 3C)
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;          // (B·T, H)
@group(0) @binding(7) var<storage, read> step: array<u32>;                 // (4), with DROPOUT

@compute @workgroup_size(CLUSTERS * LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local);
    let index = grid_index(group, groups) * CLUSTERS + local / LANES;
    // Past the samples, the last one is recomputed and not stored, so that every lane reaches the barriers.
    let stores = index / params.heads < params.samples;
    let first_row = min(index / params.heads, params.samples - 1u) * params.tokens;
    let last_row = first_row + params.tokens - 1u;
    let head = index % params.heads;
    let width4 = params.heads * PARTS;
    let of_g = rows_of(first_row + lane.row, last_row, SLOT_ROWS, width4, head * PARTS + lane.column);
    let of_q = rows_of(first_row + lane.row, last_row, SLOT_ROWS, 3u * width4, head * PARTS + lane.column);
    let sums = rows_of(first_row + lane.sum_row, last_row, SUM_ROWS, 3u * width4, head * PARTS + lane.sum_column);
    let end = select(params.tokens, 1u, TILE == 16u); // a single block
    let rows_at = local / LANES * ROWS;
    let kept_at = CLUSTERS * ROWS + local / LANES * TILE;

    for (var i0 = 0u; i0 < end; i0 += TILE) {
        put_deltas(lane, rows_from(of_g, i0 * width4), rows_at, i0, first_row, head, stores);
    }

    for (var j0 = 0u; j0 < end; j0 += TILE) {
        let j_at = 3u * j0 * width4;
        let first_i = select(0u, j0, params.causal == 1u);
        for (var i0 = first_i; i0 < end; i0 += TILE) {
            let i_at = 3u * i0 * width4;
            if (DROPOUT == 1u) { keep_block(lane, kept_at, vec3(step[0], step[1], step[2]), index, i0, j0); }
            var p: mat4x4<f32>; // zero-initialized
            var s: mat4x4<f32>;
            for (var c = 0u; c < params.parts; c += TILE_PARTS) {
                let chunk = chunk_at(lane, c);
                load_tiles(lane, rows_from(of_q, i_at), chunk, false, rows_from(of_q, j_at), chunk + width4);
                workgroupBarrier();
                p = block_product(lane, min(TILE_PARTS, params.parts - c), p);
                workgroupBarrier();
            }
            for (var c = 0u; c < params.parts; c += TILE_PARTS) {
                let chunk = chunk_at(lane, c);
                let column = chunk + 2u * width4;
                load_tiles(lane, rows_from(of_g, i0 * width4), chunk, true, rows_from(of_q, j_at), column);
                workgroupBarrier();
                s = block_product(lane, min(TILE_PARTS, params.parts - c), s);
                workgroupBarrier();
            }
            for (var m = 0u; m < 4u; m++) {
                let i = i0 + lane.block_row + SIDE * m;
                let of_i = of_row[rows_at + min(i, params.tokens - 1u)];
                let keys = select(select(params.tokens, i + 1u, params.causal == 1u), 0u, i >= params.tokens);
                let counts = j0 + lane.block_column + SIDE * vec4(0u, 1u, 2u, 3u) < vec4(keys);
                let power = fma(p[m], vec4(params.scale * LOG2_E), vec4(-of_i.x));
                p[m] = select(vec4(0.0), exp2(power), counts);
                if (DROPOUT == 1u) { s[m] *= factors_of(lane, kept_at, m); }
                s[m] = p[m] * (s[m] - of_i.y) * params.scale;
                if (DROPOUT == 1u) { p[m] *= factors_of(lane, kept_at, m); }
            }
            block_put(lane, p);
            workgroupBarrier();
            for (var c = 0u; c < params.parts; c += TILE_PARTS) {
                if (PARTS > TILE_PARTS) { // otherwise the tile still holds d_out
                    load_left(lane, rows_from(of_g, i0 * width4), chunk_at(lane, c), true);
                    workgroupBarrier();
                }
                store_transposed(lane, rows_from(sums, j_at), c, 2u * width4, stores, i0 > first_i);
                workgroupBarrier();
            }
            block_put(lane, s);
            for (var c = 0u; c < params.parts; c += TILE_PARTS) {
                load_left(lane, rows_from(of_q, i_at), chunk_at(lane, c), false);
                workgroupBarrier();
                store_transposed(lane, rows_from(sums, j_at), c, width4, stores, i0 > first_i);
                workgroupBarrier();
            }
            if (SPLITS > 1u) { block_put(lane, s); } // the exchange of sums has overwritten it
            for (var c = 0u; c < params.parts; c += TILE_PARTS) {
                load_left(lane, rows_from(of_q, j_at), chunk_at(lane, c) + width4, false);
                workgroupBarrier();
                store_product(lane, rows_from(sums, i_at), c, stores, j0 > 0u);
                workgroupBarrier();
            }
        }
    }
}
