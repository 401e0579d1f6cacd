// Metropolis–Hastings acceptance step of each Markov chain.
//
//   σ ← σ', log ψ² ← log ψ'²        if log ψ'² − log ψ² > threshold
//
// record = 1: the last proposal of a segment stores the configuration as sample first_sample + chain, if that sample
// exists. restart = 1: the first proposal of a segment resets the acceptance count.
//
// grid   ⌈chains / 64⌉ workgroups
// reads  proposed (chains, T) · proposed_log_p (chains) · threshold (chains)
// makes  log_p (chains) · state (all chains, T) · accepted (all chains) · progress (chains) · tokens (B, T)
#import grid
struct Params {
    chains: u32, first_chain: u32, patches: u32, proposals: u32, restart: u32, record: u32, first_sample: u32,
    samples: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> proposed: array<u32>;             // (chains, T)
@group(0) @binding(2) var<storage, read> proposed_log_p: array<f32>;       // (chains)
@group(0) @binding(3) var<storage, read> threshold: array<f32>;            // (chains)
@group(0) @binding(4) var<storage, read_write> log_p: array<f32>;          // (chains)
@group(0) @binding(5) var<storage, read_write> state: array<u32>;          // (all chains, T)
@group(0) @binding(6) var<storage, read_write> accepted: array<u32>;       // (all chains)
@group(0) @binding(7) var<storage, read_write> progress: array<u32>;       // (chains)
@group(0) @binding(8) var<storage, read_write> tokens: array<u32>;         // (B, T)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = grid_index(group, groups) * 64u + local;
    if (own >= params.chains) { return; }
    let chain = params.first_chain + own;
    let done = progress[own];
    var count = select(accepted[chain], 0u, done == 0u && params.restart == 1u);
    if (proposed_log_p[own] - log_p[own] > threshold[own]) {
        for (var t = 0u; t < params.patches; t++) {
            state[chain * params.patches + t] = proposed[own * params.patches + t];
        }
        log_p[own] = proposed_log_p[own];
        count++;
    }
    accepted[chain] = count;
    let is_last = done + 1u == params.proposals;
    progress[own] = select(done + 1u, 0u, is_last);
    let sample = params.first_sample + chain;
    if (is_last && params.record == 1u && sample < params.samples) {
        for (var t = 0u; t < params.patches; t++) {
            tokens[sample * params.patches + t] = state[chain * params.patches + t];
        }
    }
}
