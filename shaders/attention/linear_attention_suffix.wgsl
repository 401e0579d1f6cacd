// Linear attention of changed suffixes of sequences, from the state of their base sample before the first change.
//
//   out[r] = Sᵀ φ(q_r) / z · φ(q_r)        S = Σ_{j ≤ p} φ(k_j) v_jᵀ    z = Σ_{j ≤ p} φ(k_j)        φ(x) = elu(x) + 1
//   k_j, v_j of base row base[u]·T + j for j < s, of suffix row r − (p − j) for s ≤ j ≤ p
//
// Row r = u·per_item + k of the suffix batch is position p of a sequence that differs from base sample base[u] from
// position s on; row_table[k] = (s, p). The rows of a sequence are consecutive from p = s on. The invocation of the
// first row of a sequence iterates over all of its rows, with the state of a head in registers, VALUES parts of the
// values wide. It starts from the state before the chunk of s and adds the base keys up to s. Other invocations return
// at once. Heads are on adjacent lanes.
//
// grid   items · per_item · H · ⌈PARTS / VALUES⌉ invocations, 64 to a workgroup
// reads  base_qkv (B·T, 3C) and qkv (items·per_item, 3C), bound twice: as vec4s for D a multiple of 4, else as floats
//        base (items of all windows): base sample of item first_item + u · row_table (per_item, 2)
//        states (B, chunks − 1, H, STATE) by linear_attention_state
// makes  out (items·per_item, C)
#import grid
#import head
#import cache
#import feature
#import state
#import load
#import load_changed
const VALUES: u32 = 1u; // spec 2

struct Params { items: u32, per_item: u32, first_item: u32, tokens: u32, heads: u32, chunk: u32, parts: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base_qkv: array<Cache>;           // (B·T, 3C)
@group(0) @binding(2) var<storage, read> base_qkv4: array<vec4<Cache>>;    // (B·T, 3C)
@group(0) @binding(3) var<storage, read> qkv: array<Cache>;                // (items·per_item, 3C)
@group(0) @binding(4) var<storage, read> qkv4: array<vec4<Cache>>;         // (items·per_item, 3C)
@group(0) @binding(5) var<storage, read> base: array<u32>;                 // (first_item + items)
@group(0) @binding(6) var<storage, read> row_table: array<vec2<u32>>;      // (per_item): s, p
@group(0) @binding(7) var<storage, read> states: array<vec4<f32>>;         // (B, chunks − 1, H, STATE)
@group(0) @binding(8) var<storage, read_write> out: array<f32>;            // (items·per_item, C)

// PARTS. For wide heads, whose state does not fit into registers, it is a parameter to prevent drivers from unrolling
// loops.
fn rows_of_state() -> u32 {
    return select(params.parts, PARTS, PARTS <= 8u);
}

// Rows 4r to 4r + 3 of the matrix of the state, zero-initialized. Four arrays compile in a third of the time of one
// array of mat4x4s.
var<private> row0: array<vec4<f32>, PARTS * VALUES>;
var<private> row1: array<vec4<f32>, PARTS * VALUES>;
var<private> row2: array<vec4<f32>, PARTS * VALUES>;
var<private> row3: array<vec4<f32>, PARTS * VALUES>;
var<private> vector: array<vec4<f32>, PARTS>;
var<private> numerator: array<vec4<f32>, VALUES>;
var<private> denominator: f32;

fn put_block(at: u32, block: mat4x4<f32>) {
    row0[at] = block[0];
    row1[at] = block[1];
    row2[at] = block[2];
    row3[at] = block[3];
}

// Adds the key of the row at `row` and the parts of its value from first_part on to the state. If the row is a changed
// one, evaluates its query on the state.
fn add(changed: bool, row: u32, width: u32, first_part: u32) {
    var v: array<vec4<f32>, VALUES>;
    for (var b = 0u; b < VALUES; b++) {
        v[b] = load_changed(changed, row + 2u * width, min(first_part + b, PARTS - 1u));
        numerator[b] = vec4(0.0);
    }
    denominator = 0.0;
    for (var r = 0u; r < rows_of_state(); r++) {
        let k = head_padded(r, feature(load_changed(changed, row + width, r)));
        vector[r] += k;
        var q = vec4(0.0);
        if (changed) { q = head_padded(r, feature(load(row, r))); }
        denominator += dot(q, vector[r]);
        for (var b = 0u; b < VALUES; b++) {
            let at = r * VALUES + b;
            let added = mat4x4(k.x * v[b], k.y * v[b], k.z * v[b], k.w * v[b]);
            let block = mat4x4(row0[at], row1[at], row2[at], row3[at]) + added;
            put_block(at, block);
            numerator[b] += block * q;
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let blocks = (PARTS + VALUES - 1u) / VALUES;
    let item = index / blocks / params.heads / params.per_item;
    if (item >= params.items) { return; }
    let first_k = index / blocks / params.heads % params.per_item;
    let entry = row_table[first_k];
    if (entry.x != entry.y) { return; }
    let head = index / blocks % params.heads;
    let first_part = index % blocks * VALUES;
    let parts = min(VALUES, PARTS - first_part);
    let width = params.heads * HEAD_DIM;
    let sample = base[params.first_item + item];
    let base_start = sample * params.tokens * 3u * width + head * HEAD_DIM;
    let start = item * params.per_item * 3u * width + head * HEAD_DIM;

    let chunk = entry.x / params.chunk;
    if (chunk > 0u) {
        let slots = (params.tokens - 1u) / params.chunk;
        let before = ((sample * slots + chunk - 1u) * params.heads + head) * STATE;
        for (var r = 0u; r < rows_of_state(); r++) {
            vector[r] = state_vector(before, r);
            for (var b = 0u; b < parts; b++) { put_block(r * VALUES + b, state_block(before, r, first_part + b)); }
        }
    }
    for (var j = chunk * params.chunk; j < entry.x; j++) {
        add(false, base_start + 3u * j * width, width, first_part);
    }
    for (var k = first_k; k < params.per_item; k++) {
        add(true, start + 3u * k * width, width, first_part);
        for (var b = 0u; b < parts; b++) {
            let part = first_part + b;
            let value = numerator[b] / denominator;
            for (var e = 0u; e < min(4u, HEAD_DIM - 4u * part); e++) {
                out[(item * params.per_item + k) * width + head * HEAD_DIM + 4u * part + e] = value[e];
            }
        }
        let next = row_table[min(k + 1u, params.per_item - 1u)];
        if (next.x == next.y) { break; }
    }
}
