// Naive attention: one query per invocation, one key after the other, no tiles. What a first version looks like. Four
// elements at a time: Mesa's software drivers end an invocation after 65,535 turns of its loops.
//
//   o_i = Σ_j p_ij v_j      p_ij = exp(s_ij − lse_i)      s_ij = q_i · k_j / √D      lse_i = log Σ_j exp(s_ij)
//
// Backward: one row of d_q per invocation, then one row of d_k and d_v per invocation.

const B: u32 = 2u;       // spec: samples
const H: u32 = 4u;       // spec: heads of queries
const HK: u32 = 2u;      // spec: heads of keys and values
const S: u32 = 64u;      // spec: queries
const SK: u32 = 64u;     // spec: keys
const D: u32 = 16u;      // spec: width of a head
const CAUSAL: u32 = 1u;  // spec

const BITS: u32 = 32u; // spec 16
alias T = f32; // f16 if BITS is 16

const_assert D % 4u == 0u;
const VECTORS = D / 4u;

@group(0) @binding(0) var<storage, read> q: array<vec4<T>>;             // (B, H, S, D)
@group(0) @binding(1) var<storage, read> k: array<vec4<T>>;             // (B, HK, SK, D)
@group(0) @binding(2) var<storage, read> v: array<vec4<T>>;             // (B, HK, SK, D)
@group(0) @binding(3) var<storage, read_write> o: array<vec4<T>>;       // (B, H, S, D)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;         // (B, H, S)
@group(0) @binding(5) var<storage, read> d_o: array<vec4<T>>;           // (B, H, S, D)
@group(0) @binding(6) var<storage, read_write> d_q: array<vec4<T>>;     // (B, H, S, D)
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<T>>;     // (B, HK, SK, D)
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<T>>;     // (B, HK, SK, D)

const grid = vec3u((S + 63u) / 64u, H, B);
const grid_backward_keys = vec3u((SK + 63u) / 64u, HK, B);

// Number of keys that query i sees.
fn seen(i: u32) -> u32 { return select(SK, SK - S + i + 1u, CAUSAL == 1u); }

// Score of a row of the queries and one of the keys.
fn score(row: u32, key: u32) -> f32 {
    var sum = 0.0;
    for (var e = 0u; e < VECTORS; e++) { sum += dot(vec4f(q[row * VECTORS + e]), vec4f(k[key * VECTORS + e])); }
    return sum / sqrt(f32(D));
}

// d_o_i · (v_j − o_i) / √D
fn d_score(row: u32, key: u32) -> f32 {
    var sum = 0.0;
    for (var e = 0u; e < VECTORS; e++) {
        let at = row * VECTORS + e;
        sum += dot(vec4f(d_o[at]), vec4f(v[key * VECTORS + e]) - vec4f(o[at]));
    }
    return sum / sqrt(f32(D));
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= S) { return; }
    let row = (id.z * H + id.y) * S + i;
    let keys = (id.z * HK + id.y / (H / HK)) * SK;
    var largest = -1e30;
    for (var j = 0u; j < seen(i); j++) { largest = max(largest, score(row, keys + j)); }
    var sum = 0.0;
    var out: array<vec4f, VECTORS>;
    for (var j = 0u; j < seen(i); j++) {
        let p = exp(score(row, keys + j) - largest);
        sum += p;
        for (var e = 0u; e < VECTORS; e++) { out[e] += p * vec4f(v[(keys + j) * VECTORS + e]); }
    }
    for (var e = 0u; e < VECTORS; e++) { o[row * VECTORS + e] = vec4<T>(out[e] / sum); }
    lse[row] = largest + log(sum);
}

@compute @workgroup_size(64)
fn backward_queries(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= S) { return; }
    let row = (id.z * H + id.y) * S + i;
    let keys = (id.z * HK + id.y / (H / HK)) * SK;
    var sums: array<vec4f, VECTORS>;
    for (var j = 0u; j < seen(i); j++) {
        let d_s = exp(score(row, keys + j) - lse[row]) * d_score(row, keys + j);
        for (var e = 0u; e < VECTORS; e++) { sums[e] += d_s * vec4f(k[(keys + j) * VECTORS + e]); }
    }
    for (var e = 0u; e < VECTORS; e++) { d_q[row * VECTORS + e] = vec4<T>(sums[e]); }
}

@compute @workgroup_size(64)
fn backward_keys(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x;
    if (j >= SK) { return; }
    let key = (id.z * HK + id.y) * SK + j;
    var sums_k: array<vec4f, VECTORS>;
    var sums_v: array<vec4f, VECTORS>;
    for (var h = id.y * (H / HK); h < (id.y + 1u) * (H / HK); h++) {
        for (var i = 0u; i < S; i++) {
            if (j >= seen(i)) { continue; }
            let row = (id.z * H + h) * S + i;
            let p = exp(score(row, key) - lse[row]);
            let d_s = p * d_score(row, key);
            for (var e = 0u; e < VECTORS; e++) {
                sums_k[e] += d_s * vec4f(q[row * VECTORS + e]);
                sums_v[e] += p * vec4f(d_o[row * VECTORS + e]);
            }
        }
    }
    for (var e = 0u; e < VECTORS; e++) {
        d_k[key * VECTORS + e] = vec4<T>(sums_k[e]);
        d_v[key * VECTORS + e] = vec4<T>(sums_v[e]);
    }
}
