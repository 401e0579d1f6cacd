// Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1) on all parameters, with decoupled weight decay (Loshchilov & Hutter,
// arXiv:1711.05101, algorithm 2) of the first ones. A rejected step changes nothing.
//
//   g ← scale·g    m ← β₁ m + (1 − β₁) g    v ← β₂ v + (1 − β₂) g²
//   θ ← θ (1 − lr · decay) − lr · m/(1 − β₁ᵗ) / ( √(v/(1 − β₂ᵗ)) + ε )        decay = 0 from element `decayed` on
//
// grid   ⌈elements / 64⌉ workgroups
// reads  gradient (elements) · state (8): β₁ᵗ, β₂ᵗ, scale, accept, … · step: seed (2), step number, learning rate
// makes  parameters, m, v (elements)
#import grid
struct Params { elements: u32, beta1: f32, beta2: f32, epsilon: f32, decay: f32, decayed: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;             // (elements)
@group(0) @binding(2) var<storage, read> state: array<f32>;                // (8)
@group(0) @binding(3) var<storage, read> step: array<u32>;                 // (4)
@group(0) @binding(4) var<storage, read_write> parameters: array<f32>;     // (elements)
@group(0) @binding(5) var<storage, read_write> m: array<f32>;              // (elements)
@group(0) @binding(6) var<storage, read_write> v: array<f32>;              // (elements)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.elements || state[3] != 1.0) { return; }
    let g = gradient[i] * state[2];
    let first = params.beta1 * m[i] + (1.0 - params.beta1) * g;
    let second = params.beta2 * v[i] + (1.0 - params.beta2) * g * g;
    m[i] = first;
    v[i] = second;
    let denominator = sqrt(second / (1.0 - state[1])) + params.epsilon;
    let rate = bitcast<f32>(step[3]);
    let kept = select(1.0, 1.0 - rate * params.decay, i < params.decayed);
    parameters[i] = parameters[i] * kept - rate * (first / (1.0 - state[0])) / denominator;
}
