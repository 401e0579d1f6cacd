// Logarithm of the amplitude ratio of every connected configuration of a window of deduplicated samples, looked up among
// the amplitudes of enumerated configurations.
//
//   ratio[item, m] = ½ Σ_c (log_p[j, c] − log_p[i, c])      i = index[sample_of[item]], j = connected[i, m]
//   part 1 is the same for phases, without the ½ and modulo 2π
//
// A move that leads to no enumerated configuration, j = NONE, gets NEG_LARGE, and phase 0.
//
// grid   ⌈items · M / 64⌉ workgroups
// reads  sample_of (B) · index (B) · connected (R, M) · log_p (R, columns)
// makes  ratio (B, M, parts), items first.. of one of its parts
#import grid
struct Params {
    items: u32, moves: u32, columns: u32, first: u32, samples: u32, configurations: u32, part: u32, parts: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(2) var<storage, read> index: array<u32>;                // (B)
@group(0) @binding(3) var<storage, read> connected: array<u32>;            // (R, M)
@group(0) @binding(4) var<storage, read> log_p: array<f32>;                // (R, columns)
@group(0) @binding(5) var<storage, read_write> ratio: array<f32>;          // (B, M, parts)

const NEG_LARGE: f32 = -1e30;
const NONE: u32 = 0xffffffffu;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= params.items * params.moves) { return; }
    let item = params.first + at / params.moves;
    let m = at % params.moves;
    if (item >= params.samples) { return; }
    let last = params.configurations - 1u;
    let i = min(index[min(sample_of[item], params.samples - 1u)], last);
    let j = connected[i * params.moves + m];
    let is_phase = params.part == 1u;
    var result = select(NEG_LARGE, 0.0, is_phase);
    if (j != NONE) {
        var sum = 0.0;
        for (var c = 0u; c < params.columns; c++) {
            sum += log_p[min(j, last) * params.columns + c] - log_p[i * params.columns + c];
        }
        // 2π is split into two parts, of which the first has few bits.
        let turns = round(sum * 0.15915494);
        result = select(0.5 * sum, (sum - turns * 6.28125) - turns * 1.9353072e-3, is_phase);
    }
    ratio[(item * params.moves + m) * params.parts + params.part] = result;
}
