// Complex logarithm of the amplitude ratio of every pair of a deduplicated sample and a move that applies to it.
//
//   ratio[item, move] = (½ (log ψ'² − log ψ²), φ' − φ modulo 2π)        (item, move) = pairs[first + r]
//
// grid   ⌈rows / 64⌉ workgroups
// reads  pairs (pairs) · sample_of (B) · moved_log_p (rows) · moved_phase (rows) · log_p (B) · phase (B) · total (1)
// makes  ratio (B, moves, 2)
#import grid
struct Params { rows: u32, first: u32, moves: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;          // (pairs)
@group(0) @binding(2) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> moved_log_p: array<f32>;          // (rows)
@group(0) @binding(4) var<storage, read> moved_phase: array<f32>;          // (rows)
@group(0) @binding(5) var<storage, read> log_p: array<f32>;                // (B)
@group(0) @binding(6) var<storage, read> phase: array<f32>;                // (B)
@group(0) @binding(7) var<storage, read> total: array<u32>;                // (1)
@group(0) @binding(8) var<storage, read_write> ratio: array<vec2<f32>>;    // (B, moves)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows || params.first + row >= total[0]) { return; }
    let pair = pairs[params.first + row];
    let b = sample_of[pair.x];
    let turn = moved_phase[row] - phase[b];
    // 2π is split into two parts, of which the first has few bits.
    let turns = round(turn * 0.15915494);
    let reduced = (turn - turns * 6.28125) - turns * 1.9353072e-3;
    ratio[pair.x * params.moves + pair.y] = vec2(0.5 * (moved_log_p[row] - log_p[b]), reduced);
}
