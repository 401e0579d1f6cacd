// Metropolis proposals of the Markov chains of a restricted Boltzmann machine: subgroup variant.
//
//   σ' = σ with a random site flipped, or with two random sites exchanged if they differ
//   Δ  = log ψ(σ')/ψ(σ) = Σ_{flipped i} −2 s_i a_i + Σ_j ( log cosh θ'_j − log cosh θ_j )
//   θ'_j = θ_j − 2 Σ_i s_i W_ij
//   σ  ← σ' if u < e^(p·Δ)          sites, u = philox(counter = (chain, proposal, step, stream), key = seed)
//
// A subgroup owns one chain and its lanes share the hidden units, whose θ a proposal changes in O(M). restart = 1
// resets the acceptance counts. record = 1 stores the last configuration of the chain as sample first_sample + chain,
// if that sample exists.
//
// grid   chains subgroups, SUBGROUPS to a workgroup
// reads  weight (N, M) · visible_bias (N) · step: seed (2), step number, p in word 5 ·
//        theta (window, M) and state (chains, T), of the same configurations
// makes  theta · state · accepted (chains) · tokens (B, T)
#import grid
#import philox
#import log_cosh
#import weight
#import metropolis
const LANES: u32 = 8u; // spec 4 16 32 64
const SUBGROUPS: u32 = 4u; // spec 1 2

fn metropolis_total(part: f32) -> f32 {
    var sum = part;
    for (var reach = 1u; reach < LANES; reach *= 2u) { sum += subgroupShuffleXor(sum, reach); }
    return sum;
}

fn metropolis_share(words: vec3<u32>, lane: u32, q: u32) -> vec3<u32> {
    return vec3(subgroupShuffle(words.x, q), subgroupShuffle(words.y, q), subgroupShuffle(words.z, q));
}

@compute @workgroup_size(LANES * SUBGROUPS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let chain = grid_index(group, groups) * SUBGROUPS + local / LANES;
    if (chain >= params.chains) { return; }
    metropolis(chain, lane);
}
