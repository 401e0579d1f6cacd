// Metropolis proposals of the Markov chains of a restricted Boltzmann machine: scalar variant, for adapters without
// subgroups.
//
//   as in rbm_sweep
//
// An invocation owns one chain and sums over all of its hidden units.
//
// grid   ⌈chains / 64⌉ workgroups
// reads  weight (N, M) · visible_bias (N) · step: seed (2), step number, p in word 5 ·
//        theta (window, M) and state (chains, T), of the same configurations
// makes  theta · state · accepted (chains) · tokens (B, T)
#import grid
#import philox
#import log_cosh
#import weight
#import metropolis
const LANES: u32 = 1u;

fn metropolis_total(part: f32) -> f32 {
    return part;
}

fn metropolis_share(words: vec3<u32>, lane: u32, q: u32) -> vec3<u32> {
    return words;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let chain = grid_index(group, groups) * 64u + local;
    if (chain >= params.chains) { return; }
    metropolis(chain, 0u);
}
