// Softmax attention of one query position over the keys and values of a layer, causal or full: lanes share the keys of
// a query, for GPUs.
//
//   out = Σ_j p_j v_j        p_j = exp(q · k_j / √D − lse)        lse = log Σ_j exp(q · k_j / √D)
//
// Position j of sample b is row b·stride + offset + j. The query is at position first. Causal attention sums over
// j ≤ first, otherwise over all T. GROUP lanes share a pair of a sample and a head. A lane loads part `part` of every
// SUBS-th key and value along the contiguous axis, ROUNDS of them at a time. Scores are sums over the lanes of a key.
// Each lane weighs its own values; at the end the sums of the SUBS lanes of a part are added in order.
//
// grid   ⌈B · H / PAIRS⌉ workgroups of 128 invocations
// reads  qkv (rows, 3C)
// makes  out (B, C) · lse (B, H)
// D is a multiple of 4, and GROUP at least D / 4.
#import grid
#import head
#import cache
const GROUP: u32 = 16u; // spec 32 128

const LANES: u32 = 128u;
const PAIRS: u32 = LANES / GROUP;
const SUBS: u32 = GROUP / PARTS;
const ROUNDS: u32 = 8u;
const KEYS: u32 = SUBS * ROUNDS;           // at a time
const PART_ROW: u32 = PARTS + 1u;          // padded, so that rows begin in different banks
const LOG2_E: f32 = 1.4426950408889634;
const LOG_2: f32 = 0.6931471805599453;
const SMALLEST: f32 = -1e30;               // start of the maximum
const MASKED: f32 = -3e38;                 // has the weight 0 whatever the maximum is

struct Params {
    samples: u32, tokens: u32, heads: u32, first: u32, queries: u32, causal: u32, scale: f32, stride: u32, offset: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<Cache>>;          // (rows, 3C)
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;      // (B, C)
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;            // (B, H)

var<workgroup> products: array<f32, PAIRS * KEYS * PART_ROW>; // of each part
var<workgroup> scores: array<f32, PAIRS * KEYS>;
var<workgroup> sums: array<vec4<f32>, LANES>;
var<workgroup> totals: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = local / GROUP;
    let lane = local % GROUP;
    let part = lane % PARTS;
    let sub = lane / PARTS;                // SUBS and more: the lane is idle
    let index = grid_index(group, groups) * PAIRS + own;
    let pair = min(index, params.samples * params.heads - 1u);
    let sample = pair / params.heads;
    let head = pair % params.heads;
    let width4 = params.heads * PARTS;
    let step = 3u * width4;
    let start = (sample * params.stride + params.offset) * step + head * PARTS + part;
    let keys = select(params.tokens, params.first + 1u, params.causal == 1u);

    let q = vec4<f32>(qkv[start + params.first * step]) * (params.scale * LOG2_E);
    var sum = vec4(0.0);
    var total = 0.0;
    var largest = SMALLEST;
    for (var j = 0u; j < keys; j += KEYS) {
        var value: array<vec4<f32>, ROUNDS>;
        for (var r = 0u; r < ROUNDS; r++) {
            let at = start + min(j + r * SUBS + sub, keys - 1u) * step + width4;
            let key = vec4<f32>(qkv[at]);
            value[r] = vec4<f32>(qkv[at + width4]);
            if (sub < SUBS) { products[(own * KEYS + r * SUBS + sub) * PART_ROW + part] = dot(q, key); }
        }
        workgroupBarrier();
        for (var k = lane; k < KEYS; k += GROUP) {
            var score = 0.0;
            for (var c = 0u; c < PARTS; c++) { score += products[(own * KEYS + k) * PART_ROW + c]; }
            scores[own * KEYS + k] = select(MASKED, score, j + k < keys);
        }
        workgroupBarrier();
        var next = largest;
        for (var k = 0u; k < KEYS; k++) { next = max(next, scores[own * KEYS + k]); }
        let factor = exp2(largest - next);
        largest = next;
        total *= factor;
        sum *= factor;
        for (var r = 0u; r < ROUNDS; r++) {
            let weight = exp2(scores[own * KEYS + min(r * SUBS + sub, KEYS - 1u)] - next);
            total += weight;
            sum = fma(vec4(weight), value[r], sum);
        }
    }

    sums[local] = sum;
    totals[local] = total;
    workgroupBarrier();
    if (index != pair || sub > 0u) { return; }
    for (var s = 1u; s < SUBS; s++) {
        sum += sums[local + s * PARTS];
        total += totals[local + s * PARTS];
    }
    out[sample * width4 + head * PARTS + part] = sum / total;
    if (part == 0u) { lse[sample * params.heads + head] = (largest + log2(total)) * LOG_2; }
}
