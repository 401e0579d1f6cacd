// Independent draws of enumerated configurations from their cumulative probabilities.
//
//   block of sample b = first k with totals[k] ≥ v₀ totals[BLOCKS − 1]
//   index[b]          = first i of the block with cumulative[i] ≥ v₁ cumulative[last of the block]
//
// v = 1 − u is in (0, 1], so that no configuration of weight 0 is drawn. The words u are
// philox(counter = (b, 0, step, stream), key = seed).
//
// grid   ⌈B / 64⌉ workgroups
// reads  cumulative (R) · totals (BLOCKS) · step: seed (2), step number
// makes  index (B)
#import grid
#import philox
const BLOCKS: u32 = 256u; // spec
struct Params { samples: u32, configurations: u32, stream: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cumulative: array<f32>;           // (R)
@group(0) @binding(2) var<storage, read> totals: array<f32>;               // (BLOCKS)
@group(0) @binding(3) var<storage, read> step: array<u32>;                 // (8)
@group(0) @binding(4) var<storage, read_write> index: array<u32>;          // (B)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = grid_index(group, groups) * 64u + local;
    if (b >= params.samples) { return; }
    let words = philox(vec4(b, 0u, step[2], params.stream), vec2(step[0], step[1]));

    let of_totals = (1.0 - philox_uniform(words.x)) * totals[BLOCKS - 1u];
    var low = 0u;
    var high = BLOCKS - 1u;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (totals[middle] >= of_totals) { high = middle; } else { low = middle + 1u; }
    }

    let block = (params.configurations + BLOCKS - 1u) / BLOCKS;
    low = min(low * block, params.configurations - 1u);
    high = min(low + block, params.configurations) - 1u;
    let of_block = (1.0 - philox_uniform(words.y)) * cumulative[high];
    while (low < high) {
        let middle = (low + high) / 2u;
        if (cumulative[middle] >= of_block) { high = middle; } else { low = middle + 1u; }
    }
    index[b] = low;
}
