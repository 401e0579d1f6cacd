// Local energy and observables of a window of deduplicated samples.
//
//   E(σ)  = constant + Σ_q site_energy[u, q] + e^top Σ_m amplitude_m e^(ratio_m − top) e^(i phase_m)
//   top = max_m ratio_m
//   M = Σ (2 n − 1)      staggered = Σ_q sign_q (n_q − ½) / N      σˣ = Σ_{single flips m} e^ratio_m / N
//
// Ratios remain logarithms until the last factor, so that only an energy beyond the range of f32 can overflow. With
// PARTS = 1 there are no phases and the energy is real.
//
// grid   ⌈items / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · site_energy (items, N) · ratio (B, M, PARTS): logarithm, phase ·
//        amplitudes (M): amplitude, single · signs (T): sites of positive sign
// makes  values (B, COLUMNS): Re E, M, |M|, M², staggered, |staggered|, staggered², σˣ, Im E
#import columns
#import grid
#import phase
#import quarter_turn
const PARTS: u32 = 1u; // spec 2
struct Params {
    items: u32, sites: u32, moves: u32, patches: u32, first: u32, samples: u32, constant: f32, sign_sum: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> site_energy: array<f32>;          // (items, N)
@group(0) @binding(4) var<storage, read> ratio: array<f32>;                // (B, M, PARTS)
@group(0) @binding(5) var<storage, read> amplitudes: array<vec2<f32>>;     // (M)
@group(0) @binding(6) var<storage, read> signs: array<u32>;                // (T)
@group(0) @binding(7) var<storage, read_write> values: array<f32>;         // (B, COLUMNS)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let u = grid_index(group, groups) * 64u + local;
    let item = params.first + u;
    if (u >= params.items || item >= params.samples) { return; }
    let start = min(sample_of[item], params.samples - 1u) * params.patches;

    var diagonal = params.constant;
    for (var q = 0u; q < params.sites; q++) { diagonal += site_energy[u * params.sites + q]; }

    let first_move = item * params.moves * PARTS;
    var top = -1e30;
    for (var m = 0u; m < params.moves; m++) { top = max(top, ratio[first_move + m * PARTS]); }
    var off_diagonal = vec2(0.0);
    var flips = 0.0;
    for (var m = 0u; m < params.moves; m++) {
        let at = first_move + m * PARTS;
        var weight = vec2(exp(ratio[at] - top), 0.0);
        if (PARTS == 2u) { weight = weight.x * phase_factor(ratio[at + 1u]); }
        off_diagonal += amplitudes[m].x * weight;
        flips += amplitudes[m].y * weight.x;
    }
    let factor = exp(top);

    var occupied = 0u;
    var positive = 0u;
    for (var t = 0u; t < params.patches; t++) {
        let token = tokens[start + t];
        occupied += countOneBits(token);
        positive += countOneBits(token & signs[t]);
    }
    let sites = f32(params.sites);
    let magnetization = 2.0 * f32(occupied) - sites;
    let staggered = (2.0 * f32(positive) - f32(occupied) - 0.5 * params.sign_sum) / sites;

    let at = item * COLUMNS;
    values[at] = diagonal + factor * off_diagonal.x;
    values[at + 1u] = magnetization;
    values[at + 2u] = abs(magnetization);
    values[at + 3u] = magnetization * magnetization;
    values[at + 4u] = staggered;
    values[at + 5u] = abs(staggered);
    values[at + 6u] = staggered * staggered;
    values[at + 7u] = factor * flips / sites;
    values[at + IMAGINARY] = factor * off_diagonal.y;
}
