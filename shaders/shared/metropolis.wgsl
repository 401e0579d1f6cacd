// Segment of a Markov chain of a restricted Boltzmann machine, computed by LANES lanes that share the hidden units.
//
// The importing file defines metropolis_total, the sum over the lanes of a chain, and metropolis_share, the value that
// another lane of the chain holds. The stationary distribution is proportional to |ψ|^p in
// word 5 of the step, or to the fraction `stage` of that power.
const WORDS: u32 = 2u; // spec 8 32
const EXCHANGE: u32 = 0u; // spec 1
struct Params {
    chains: u32, first_chain: u32, sites: u32, sites_per_patch: u32, patches: u32, hidden: u32,
    proposals: u32, first_proposal: u32, stream: u32, restart: u32, record: u32, first_sample: u32, samples: u32,
    stage: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<Weight>;            // (N, M)
@group(0) @binding(2) var<storage, read> visible_bias: array<f32>;         // (N)
@group(0) @binding(3) var<storage, read> step: array<u32>;                 // (8)
@group(0) @binding(4) var<storage, read_write> theta: array<f32>;          // (window, M)
@group(0) @binding(5) var<storage, read_write> state: array<u32>;          // (chains, T)
@group(0) @binding(6) var<storage, read_write> accepted: array<u32>;       // (chains)
@group(0) @binding(7) var<storage, read_write> tokens: array<u32>;         // (B, T)

var<private> occupied: array<u32, WORDS>;

fn spin(site: u32) -> f32 {
    return select(-1.0, 1.0, ((occupied[site / 32u] >> (site % 32u)) & 1u) == 1u);
}

// Hidden units of a lane in round k. Units past the end count as 0.
fn units(k: u32, lane: u32) -> vec4<u32> {
    return vec4(4u * k * LANES + lane) + vec4(0u, 1u, 2u, 3u) * LANES;
}

fn weights_of(site: u32, j: vec4<u32>) -> vec4<f32> {
    let at = vec4(site * params.hidden) + min(j, vec4(params.hidden - 1u));
    return vec4(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
}

// θ of the units j after the proposal, 0 past the end.
fn moved(start: u32, j: vec4<u32>, sites: vec2<u32>, change: vec2<f32>) -> vec4<f32> {
    let at = vec4(start) + min(j, vec4(params.hidden - 1u));
    var x = vec4(theta[at.x], theta[at.y], theta[at.z], theta[at.w]) + change.x * weights_of(sites.x, j);
    if (EXCHANGE == 1u) { x += change.y * weights_of(sites.y, j); }
    return select(vec4(0.0), x, j < vec4(params.hidden));
}

fn metropolis(window_chain: u32, lane: u32) {
    let chain = params.first_chain + window_chain;
    let start = window_chain * params.hidden;
    let first_token = chain * params.patches;
    let rounds = (params.hidden + 4u * LANES - 1u) / (4u * LANES);
    let power = params.stage * bitcast<f32>(step[5]);
    for (var w = 0u; w < WORDS; w++) { occupied[w] = 0u; }
    for (var i = 0u; i < params.sites; i++) {
        let n = (state[first_token + i / params.sites_per_patch] >> (i % params.sites_per_patch)) & 1u;
        occupied[i / 32u] |= n << (i % 32u);
    }
    var here = 0.0;
    for (var k = 0u; k < rounds; k++) { here += log_cosh_sum(moved(start, units(k, lane), vec2(0u), vec2(0.0))); }
    var count = select(accepted[chain], 0u, params.restart == 1u);

    for (var first = 0u; first < params.proposals; first += LANES) {
        // Each lane draws the random words of a different proposal.
        let counter = vec4(chain, params.first_proposal + first + lane, step[2], params.stream);
        let drawn = philox(counter, vec2(step[0], step[1])).xyz;
        for (var q = 0u; q < min(LANES, params.proposals - first); q++) {
            let words = metropolis_share(drawn, lane, q);
            let sites = vec2(philox_multiply(words.x, params.sites).x, philox_multiply(words.y, params.sites).x);
            let spins = vec2(spin(sites.x), spin(sites.y));
            let change = vec2(-2.0 * spins.x, select(0.0, -2.0 * spins.y, EXCHANGE == 1u));
            var there = 0.0;
            for (var k = 0u; k < rounds; k++) { there += log_cosh_sum(moved(start, units(k, lane), sites, change)); }
            let visible = change.x * visible_bias[sites.x] + change.y * visible_bias[sites.y];
            let log_ratio = metropolis_total(there - here) + visible;
            let possible = EXCHANGE == 0u || spins.x != spins.y;
            if (possible && philox_uniform(words.z) < exp(power * log_ratio)) {
                for (var k = 0u; k < rounds; k++) {
                    let j = units(k, lane);
                    let x = moved(start, j, sites, change);
                    for (var c = 0u; c < 4u; c++) {
                        if (j[c] < params.hidden) { theta[start + j[c]] = x[c]; }
                    }
                }
                occupied[sites.x / 32u] ^= 1u << (sites.x % 32u);
                if (EXCHANGE == 1u) { occupied[sites.y / 32u] ^= 1u << (sites.y % 32u); }
                here = there;
                count++;
            }
        }
    }

    if (lane == 0u) { accepted[chain] = count; }
    let sample = params.first_sample + chain;
    for (var t = lane; t < params.patches; t += LANES) {
        var token = 0u;
        for (var e = 0u; e < params.sites_per_patch; e++) {
            let i = t * params.sites_per_patch + e;
            token |= ((occupied[i / 32u] >> (i % 32u)) & 1u) << e;
        }
        state[first_token + t] = token;
        if (params.record == 1u && sample < params.samples) { tokens[sample * params.patches + t] = token; }
    }
}
