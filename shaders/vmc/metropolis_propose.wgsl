// Proposal step of each Markov chain, as whole configurations.
//
//   σ' = σ with the n-th of its A(σ) possible changes        n = ⌊A u₀ / 2³²⌋
//   threshold = 2/p · (log u₂ − log A(σ) + log A(σ'))         σ' is accepted if log ψ'² − log ψ² > threshold
//
// The stationary distribution is proportional to |ψ|^p. p is the fraction `stage` of word 5 of the step.
//
// A change flips one site, which is always possible, or with EXCHANGE = 1 two sites, which is possible if they differ.
// A possible change always gives σ' ≠ σ. The words u are philox(counter = (chain, proposal, step, stream), key = seed).
//
// grid   ⌈chains / 64⌉ workgroups
// reads  state (all chains, T) · changes (changes): first patch, mask, second patch or none, mask ·
//        step: seed (2), step number, p in word 5 · progress (chains): proposals done in this segment
// makes  proposed (chains, T) · threshold (chains)
#import grid
#import philox
const EXCHANGE: u32 = 1u; // spec 0
struct Params { chains: u32, first_chain: u32, patches: u32, changes: u32, first_proposal: u32, stream: u32, stage: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: array<u32>;                // (all chains, T)
@group(0) @binding(2) var<storage, read> changes: array<vec4<u32>>;        // (changes)
@group(0) @binding(3) var<storage, read> step: array<u32>;                 // (8)
@group(0) @binding(4) var<storage, read> progress: array<u32>;             // (chains)
@group(0) @binding(5) var<storage, read_write> proposed: array<u32>;       // (chains, T)
@group(0) @binding(6) var<storage, read_write> threshold: array<f32>;      // (chains)

// Whether the two sites of change k differ in the proposed configuration that begins at `start`.
fn is_possible(start: u32, k: u32) -> bool {
    let at = changes[k];
    let first = (proposed[start + at.x] & at.y) != 0u;
    let second = (proposed[start + at.z] & at.w) != 0u;
    return first != second;
}

fn possible(start: u32) -> u32 {
    var count = 0u;
    for (var k = 0u; k < params.changes; k++) { count += u32(is_possible(start, k)); }
    return count;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = grid_index(group, groups) * 64u + local;
    if (own >= params.chains) { return; }
    let chain = params.first_chain + own;
    let start = own * params.patches;
    for (var t = 0u; t < params.patches; t++) { proposed[start + t] = state[chain * params.patches + t]; }
    let counter = vec4(chain, params.first_proposal + progress[own], step[2], params.stream);
    let words = philox(counter, vec2(step[0], step[1]));
    let scale = 2.0 / (params.stage * bitcast<f32>(step[5]));
    // A uniform number of 0 is replaced by half of the smallest positive one.
    let level = log(max(philox_uniform(words.z), 2.98023223876953125e-8));

    if (EXCHANGE == 0u) {
        let at = changes[philox_multiply(words.x, params.changes).x];
        proposed[start + at.x] ^= at.y;
        threshold[own] = scale * level;
        return;
    }
    let count = possible(start);
    let n = philox_multiply(words.x, count).x;
    var seen = 0u;
    for (var k = 0u; k < params.changes; k++) {
        if (is_possible(start, k)) {
            if (seen == n) {
                let at = changes[k];
                proposed[start + at.x] ^= at.y;
                proposed[start + at.z] ^= at.w;
                break;
            }
            seen++;
        }
    }
    threshold[own] = scale * (level - log(f32(max(count, 1u))) + log(f32(max(possible(start), 1u))));
}
