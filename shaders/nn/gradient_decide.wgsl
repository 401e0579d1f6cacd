// Acceptance of a step and scale of its gradient.
//
//   norm = √Σ part        accept if norm, mean and variance of the energy are finite
//   scale = min(1, clip / norm) if clip > 0, else 1
//   accepted step:  β₁ᵗ ← β₁·β₁ᵗ,  β₂ᵗ ← β₂·β₂ᵗ,  t ← t + 1
//
// grid   1 workgroup
// reads  part (blocks) · statistics (9, 2): mean and variance of the energy first
// makes  state (8): β₁ᵗ, β₂ᵗ, scale, accept (0 or 1), norm, t, 0, 0
#import finite
struct Params { blocks: u32, clip: f32, beta1: f32, beta2: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;                 // (blocks)
@group(0) @binding(2) var<storage, read> statistics: array<f32>;           // (9, 2)
@group(0) @binding(3) var<storage, read_write> state: array<f32>;          // (8)

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < params.blocks; i += 64u) { sum += part[i]; }
    sums[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (local < half) { sums[local] += sums[local + half]; }
        workgroupBarrier();
    }
    if (local == 0u) {
        let square = sums[0];
        let norm = sqrt(square);
        let accept = finite(square) && finite(statistics[0]) && finite(statistics[1]);
        state[2] = select(1.0, params.clip / norm, params.clip > 0.0 && norm > params.clip);
        state[3] = select(0.0, 1.0, accept);
        state[4] = norm;
        if (accept) {
            state[0] *= params.beta1;
            state[1] *= params.beta2;
            state[5] += 1.0;
        }
    }
}
