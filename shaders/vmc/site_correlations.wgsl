// Mean occupations and connected correlations of all pairs of sites, over the samples.
//
//   density[i]        = ⟨n_i⟩
//   correlation[i, j] = ⟨n_i n_j⟩ − ⟨n_i⟩⟨n_j⟩
//
// Sums are counts of bits, which are exact.
//
// grid   ⌈N² / 64⌉ workgroups
// reads  words (W, N): occupations of 32 samples in the bits of a word
// makes  density (N) · correlation (N, N)
#import grid
struct Params { sites: u32, words: u32, share: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;                // (W, N)
@group(0) @binding(2) var<storage, read_write> density: array<f32>;        // (N)
@group(0) @binding(3) var<storage, read_write> correlation: array<f32>;    // (N, N)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    let sites = params.sites;
    if (at >= sites * sites) { return; }
    let i = at / sites;
    let j = at % sites;
    var counts = vec3<u32>();
    for (var w = 0u; w < params.words; w++) {
        let of_i = words[w * sites + i];
        let of_j = words[w * sites + j];
        counts += countOneBits(vec3(of_i, of_j, of_i & of_j));
    }
    let means = vec3<f32>(counts) * params.share;
    correlation[at] = means.z - means.x * means.y;
    if (j == 0u) { density[i] = means.x; }
}
