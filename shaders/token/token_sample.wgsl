// Sampling of one token per row: temperature, then top-k, then top-p, or the first token with the largest logit.
//
//   weight[v] = exp((logits[v] − max) · rate)           share[v] = round(2³¹ weight[v] / Σ_kept weight)
//   token     = the first with Σ_{w ≤ token} share[w] > ⌊word · Σ share / 2³²⌋, in the order of invocations
//   word      = philox(counter = (first_row + row, position, step, 0), key = seed)
//
// Kept are the tokens whose key, the bits of the logit in the order of floats, is at least that at which the sum of
// ones (top-k) or shares (top-p) of the largest keys reaches a goal. The key is found by histograms of eight bits at a
// time. If the largest logit is not finite, log_p is NaN.
//
// grid   rows workgroups
// reads  logits (rows, columns) · step: seed (2), step number, -
// makes  tokens (rows) · log_p (rows) = log weight[token] − log Σ_kept weight
#import grid
#import philox
#import token_weights
#import token_threshold
const LANES: u32 = 64u; // spec 256

struct Params {
    rows: u32, columns4: u32, tokens: u32, first_row: u32, position: u32, rate: f32, top_k: u32, top_p: u32, greedy: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;         // (rows, columns)
@group(0) @binding(2) var<storage, read> step: array<u32>;                 // (4)
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;         // (rows)
@group(0) @binding(4) var<storage, read_write> log_p: array<f32>;          // (rows)

const WHOLE: f32 = 2147483648.0;

var<workgroup> largest: array<vec2<u32>, LANES>; // key, token
var<workgroup> shares: array<u32, LANES>;

// Largest key and the first token that has it.
fn first_largest(start: u32, local: u32) -> vec2<u32> {
    var first = vec2(0u);
    for (var at = local; at < params.columns4; at += LANES) {
        let key = keys(start, at);
        for (var c = 0u; c < 4u; c++) {
            if (key[c] > first.x) { first = vec2(key[c], 4u * at + c); }
        }
    }
    largest[local] = first;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if (local < half) {
            let a = largest[local];
            let b = largest[local + half];
            largest[local] = select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
        }
        workgroupBarrier();
    }
    return largest[0];
}

// Sums of the values of the invocations up to each one.
fn running_sum(local: u32, value: u32) -> u32 {
    shares[local] = value;
    workgroupBarrier();
    for (var reach = 1u; reach < LANES; reach *= 2u) {
        let below = select(0u, shares[max(local, reach) - reach], local >= reach);
        workgroupBarrier();
        shares[local] += below;
        workgroupBarrier();
    }
    return shares[local];
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // Past the rows, the last one is recomputed and not stored.
    let index = grid_index(group, groups);
    let at_row = min(index, params.rows - 1u);
    let start = at_row * params.columns4;
    let first = first_largest(start, local);
    let row = Row(start, local, first.x);
    let is_finite = (bitcast<u32>(logit(vec4(first.x)).x) & ~SIGN) < INFINITE;
    if (local == 0u && index < params.rows && (params.greedy == 1u || !is_finite)) {
        tokens[at_row] = first.y;
        log_p[at_row] = select(bitcast<f32>(first.x | 0x7fc00000u), 0.0, is_finite);
    }
    if (params.greedy == 1u) { return; }

    var least = 1u;
    if (params.top_k > 0u) { least = threshold(row, least, params.top_k, 0.0); }
    if (params.top_p > 0u) { least = threshold(row, least, params.top_p, WHOLE / total(row, least)); }
    let sum = total(row, least);
    var own = 0u;
    for (var at = local; at < params.columns4; at += LANES) {
        let share = shares_of(row, keys(start, at), least, WHOLE / sum);
        own += share.x + share.y + share.z + share.w;
    }
    let up_to = running_sum(local, own);
    let word = philox(vec4(params.first_row + at_row, params.position, step[2], 0u), vec2(step[0], step[1])).x;
    let drawn = philox_multiply(word, shares[LANES - 1u]).x;
    var below = up_to - own;
    if (index >= params.rows || !is_finite || drawn < below || drawn >= up_to) { return; }
    for (var at = local; at < params.columns4; at += LANES) {
        let key = keys(start, at);
        let share = shares_of(row, key, least, WHOLE / sum);
        for (var c = 0u; c < 4u; c++) {
            if (drawn >= below && drawn - below < share[c]) {
                tokens[at_row] = 4u * at + c;
                log_p[at_row] = log_weights(row, vec4(key[c])).x - log(sum);
            }
            below += share[c];
        }
    }
}
