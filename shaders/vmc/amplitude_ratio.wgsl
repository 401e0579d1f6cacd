// Logarithm of the amplitude ratio of every connected configuration of a window of deduplicated samples.
//
//   log ψ(σ')/ψ(σ) = ½ ( logits[b, i, σ'_i] − logits[b, i, σ_i] + Σ_{p > i} ( log_p'[p] − log_p[b, p] ) )
//   part 1 is the same for phases, without the ½
//
// i is the first changed patch. The patches before it, and therefore the normalization of patch i, are the same in σ
// and σ'. A move whose condition (1: the two sites differ) does not hold gets NEG_LARGE, and phase 0.
//
// grid   ⌈items · M / 64⌉ workgroups
// reads  tokens (B, T) · sample_of (B) · logits (B, T, V) · log_p (B, T) · row_log_p (items·R) ·
//        moves (M): first patch, mask, second patch, mask · starts (M): first row, condition
// makes  ratio (B, M, parts), items first.. of one of its parts
#import grid
struct Params {
    items: u32, moves: u32, rows_per_item: u32, patches: u32, outcomes: u32, first: u32, samples: u32, part: u32, parts: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;               // (B, T)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> logits: array<f32>;               // (B, T, V)
@group(0) @binding(4) var<storage, read> log_p: array<f32>;                // (B, T)
@group(0) @binding(5) var<storage, read> row_log_p: array<f32>;            // (items·R)
@group(0) @binding(6) var<storage, read> moves: array<vec4<u32>>;          // (M)
@group(0) @binding(7) var<storage, read> starts: array<vec2<u32>>;         // (M)
@group(0) @binding(8) var<storage, read_write> ratio: array<f32>;          // (B, M, parts)

const NEG_LARGE: f32 = -1e30;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.items * params.moves) { return; }
    let u = at / params.moves;
    let m = at % params.moves;
    let item = params.first + u;
    if (item >= params.samples) { return; }
    let b = min(sample_of[item], params.samples - 1u);
    let change = moves[m];
    let i = change.x;
    let token = tokens[b * params.patches + i];
    // If both sites are in one patch, they share the token.
    let inside = change.z == i;
    let flipped = token ^ change.y ^ select(0u, change.w, inside);
    var holds = true;
    if (starts[m].y == 1u) {
        let second = tokens[b * params.patches + change.z];
        holds = ((token & change.y) != 0u) != ((second & change.w) != 0u);
    }
    let start = (b * params.patches + i) * params.outcomes;
    var sum = 0.0;
    let first_row = u * params.rows_per_item + starts[m].x;
    for (var p = i + 1u; p < params.patches; p++) {
        sum += row_log_p[first_row + p - i - 1u] - log_p[b * params.patches + p];
    }
    sum += logits[start + flipped] - logits[start + token];
    let is_phase = params.part == 1u;
    let moved = select(0.5, 1.0, is_phase) * sum;
    ratio[(item * params.moves + m) * params.parts + params.part] = select(select(NEG_LARGE, 0.0, is_phase), moved, holds);
}
