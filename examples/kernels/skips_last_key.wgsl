// Wrong: leaves out the last key that a query sees, as a loop with `<` in place of `<=` does. INCORRECT_NUMERICAL.

override B: u32;
override H: u32;
override HK: u32;
override S: u32;
override SK: u32;
override D: u32;
override CAUSAL: bool;
// grid: (S + 63) / 64, H, B

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> o: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= S) { return; }
    let row = ((id.z * H + id.y) * S + id.x) * D;
    let keys = (id.z * HK + id.y / (H / HK)) * SK;
    var last = SK - 1u;
    if (CAUSAL) { last = SK - S + id.x; }
    for (var e = 0u; e < D; e++) { o[row + e] = 0.0; }
    var largest = -1e30;
    var sum = 0.0;
    for (var j = 0u; j < max(last, 1u); j++) {
        let key = (keys + j) * D;
        var score = 0.0;
        for (var e = 0u; e < D; e++) { score += q[row + e] * k[key + e]; }
        score /= sqrt(f32(D));
        let factor = exp(largest - max(largest, score));
        largest = max(largest, score);
        let p = exp(score - largest);
        sum = sum * factor + p;
        for (var e = 0u; e < D; e++) { o[row + e] = o[row + e] * factor + p * v[key + e]; }
    }
    for (var e = 0u; e < D; e++) { o[row + e] /= sum; }
}
