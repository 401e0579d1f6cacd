// Occupations of a site in 32 samples as the bits of a word, for sums over samples by counts of bits.
//
//   words[w, i] = Σ_k 2^k occupations[32 w + k, i]        samples past the last one have the bit 0
//
// grid   ⌈W · N / 64⌉ workgroups, W = ⌈B / 32⌉
// reads  occupations (B, N)
// makes  words (W, N)
#import grid
struct Params { samples: u32, sites: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> occupations: array<u32>;          // (B, N)
@group(0) @binding(2) var<storage, read_write> words: array<u32>;          // (W, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let w = at / params.sites;
    let i = at % params.sites;
    if (w * 32u >= params.samples) { return; }
    let count = min(32u, params.samples - w * 32u);
    var word = 0u;
    for (var k = 0u; k < count; k++) {
        word |= occupations[(w * 32u + k) * params.sites + i] << k;
    }
    words[at] = word;
}
