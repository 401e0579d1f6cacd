// Sampling of whole sequences from a narrow causal transformer in one launch: all patches, all layers.
//
//   x        = tanh(W_t patch_{t−1} + b_t) + position_t        patch_{−1} = 0; with START = 1, start + position_0
//   x        = layers(x), with the keys and values of the patches up to t
//   logits_t = W_b relu(W_a x + b_a) + b_b                     phases_t likewise
//   token_t  as in draw with the word philox(counter = (sample, t, step, 0), key = seed), or given
//
// A workgroup owns ROWS samples, whose rows of width C stay in workgroup memory, and reads all weights once per patch.
// ROWS changes no order of sums, and so no bit.
//
// grid   ⌈(end − start) / ROWS⌉ workgroups of 128 invocations
// reads  packed · step: seed (2), step number, learning rate · tokens (B, T) if given = 1
// makes  tokens (B, T) · log_p (B, T) · outcomes: logits (B, T, V), phases (B, T, V) · cache (K, B, T, 3C)
// C = 4·WIDTH4, at most 64; F and the width of heads are multiples of 4; H ≤ 16; V ≤ 256.
#import grid
#import tanh
#import activation
#import dot_add
#import cache
#import norm
#import philox
#import sector
#import draw
#import decode_rows
#import decode_attention
#import decode_feed_forward
#import decode_patch
const PRE_NORM: u32 = 0u; // spec 1

// Adds the output of attention to the rows X.
fn add_attention(weight: u32) {
    if (lane < OUTPUTS) {
        rows[X + lane] += linear(ATTENDED + own_row * WIDTH4, weight, WIDTH4, own_column);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    lane = local;
    own_row = local / WIDTH4;
    own_column = local % WIDTH4;
    first_sample = params.start + grid_index(group, groups) * ROWS;
    let outcomes4 = (params.outcomes + 3u) / 4u;
    for (var t = 0u; t < params.patches; t++) {
        embed(t);
        for (var layer = 0u; layer < params.layers; layer++) {
            let weights = layer * params.layer_weights;
            if (PRE_NORM == 1u) {
                normalize(X, NORMED, weights + params.norm1);
                project(NORMED, layer, t);
                attend(layer, t);
                add_attention(weights + params.attention_out);
                normalize(X, NORMED, weights + params.norm2);
                add_feed_forward(layer, X);
            } else {
                project(X, layer, t);
                attend(layer, t);
                add_attention(weights + params.attention_out);
                normalize(X, NORMED, weights + params.norm1);
                add_feed_forward(layer, NORMED);
                normalize(NORMED, X, weights + params.norm2);
            }
        }
        var top = X;
        if (PRE_NORM == 1u) {
            normalize(X, NORMED, params.last_norm);
            top = NORMED;
        }
        // Part 0 are logits, part 1 phases.
        for (var part = 0u; part < params.parts; part++) {
            head_hidden(top, params.head + part * params.heads_weights);
            for (var i = lane; i < ROWS * outcomes4; i += LANES) {
                let row = i / outcomes4;
                let o4 = i % outcomes4;
                let weight = params.head_out + part * params.heads_weights;
                let value = linear(ATTENDED + row * WIDTH4, weight, outcomes4, o4);
                if (part == 0u) { scratch[i] = value; }
                let at = part * params.part_outcomes + (sample_of(row) * params.patches + t) * params.outcomes;
                for (var o = 4u * o4; o < min(4u * o4 + 4u, params.outcomes); o++) {
                    if (is_stored(row)) { outcomes[at + o] = value[o % 4u]; }
                }
            }
            workgroupBarrier();
        }
        draw_patch(t);
    }
}
