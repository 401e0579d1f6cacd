// Logarithm of the amplitude ratio of a restricted Boltzmann machine for every connected configuration of a window of
// deduplicated samples.
//
//   log ψ(σ')/ψ(σ) = Σ_{flipped i} −2 s_i a_i + Σ_j ( log cosh θ'_j − log cosh θ_j )        θ'_j = θ_j − 2 Σ_i s_i W_ij
//
// A move flips one site, or with PAIRS = 1 optionally a second one. A mask has a single bit. A move whose condition (1:
// the two sites differ) does not hold gets NEG_LARGE. An invocation computes four moves of one sample, which share log
// cosh θ.
//
// grid   ⌈items · ⌈moves / 4⌉ / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · theta (B, M) · weight (N, M) · visible_bias (N) ·
//        moves (moves): first patch, mask, second patch or none, mask · starts (moves): not read, condition
// makes  ratio (B, moves), items first.. of it
#import grid
#import log_cosh
#import weight
const PAIRS: u32 = 1u; // spec 0
struct Params {
    items: u32, moves: u32, patches: u32, sites_per_patch: u32, hidden: u32, first: u32, samples: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> theta: array<f32>;                // (B, M)
@group(0) @binding(4) var<storage, read> weight: array<Weight>;            // (N, M)
@group(0) @binding(5) var<storage, read> visible_bias: array<f32>;         // (N)
@group(0) @binding(6) var<storage, read> moves: array<vec4<u32>>;          // (moves)
@group(0) @binding(7) var<storage, read> starts: array<vec2<u32>>;         // (moves)
@group(0) @binding(8) var<storage, read_write> ratio: array<f32>;          // (B, moves)

const NEG_LARGE: f32 = -1e30;
const NONE: u32 = 0xffffffffu;

fn weights_of(site: u32, j: vec4<u32>) -> vec4<f32> {
    let at = vec4(site * params.hidden) + j;
    return vec4(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let quads = (params.moves + 3u) / 4u;
    let u = at / quads;
    let item = params.first + u;
    if (u >= params.items || item >= params.samples) { return; }
    let first_move = 4u * (at % quads);
    let b = min(sample_of[item], params.samples - 1u);

    // Flipped sites and the changes of their spins.
    var site: array<vec2<u32>, 4>;
    var change: array<vec2<f32>, 4>;
    var sum: vec4<f32>;
    for (var c = 0u; c < 4u; c++) {
        // Past the end, the last move is recomputed and not stored.
        let change_of = moves[min(first_move + c, params.moves - 1u)];
        let two = change_of.z != NONE;
        let at_patch = vec2(change_of.x, select(change_of.x, change_of.z, two));
        let mask = vec2(change_of.y, select(change_of.y, change_of.w, two));
        site[c] = at_patch * params.sites_per_patch + countTrailingZeros(mask);
        let token = vec2(tokens[b * params.patches + at_patch.x], tokens[b * params.patches + at_patch.y]);
        change[c] = select(vec2(2.0), vec2(-2.0), (token & mask) != vec2(0u));
        if (!two) { change[c].y = 0.0; }
        sum[c] = change[c].x * visible_bias[site[c].x] + change[c].y * visible_bias[site[c].y];
    }

    let start = b * params.hidden;
    for (var j = 0u; j < params.hidden; j += 4u) {
        let unit = vec4(j) + vec4(0u, 1u, 2u, 3u);
        let inside = unit < vec4(params.hidden);
        let at_unit = min(unit, vec4(params.hidden - 1u));
        let at_theta = vec4(start) + at_unit;
        let x = vec4(theta[at_theta.x], theta[at_theta.y], theta[at_theta.z], theta[at_theta.w]);
        let here = log_cosh_sum(select(vec4(0.0), x, inside));
        for (var c = 0u; c < 4u; c++) {
            var moved = x + change[c].x * weights_of(site[c].x, at_unit);
            if (PAIRS == 1u) { moved += change[c].y * weights_of(site[c].y, at_unit); }
            sum[c] += log_cosh_sum(select(vec4(0.0), moved, inside)) - here;
        }
    }
    for (var c = 0u; c < 4u && first_move + c < params.moves; c++) {
        let conditional = starts[first_move + c].y == 1u;
        let holds = !conditional || change[c].x != change[c].y;
        ratio[item * params.moves + first_move + c] = select(NEG_LARGE, sum[c], holds);
    }
}
