// Elements of a that kept the bits of a word, and words of a that differ from those of b.
//
//   counts[0] += number of elements of a with the bits of `word`, which holds one f32 or two f16
//   counts[1] += number of words with a[i] ≠ b[i]
//
// grid   ⌈⌈elements / per_word⌉ / 64⌉ workgroups
// reads  a, b (⌈elements / per_word⌉)
// makes  counts (2), which is added to
#import grid
struct Params {
    elements: u32,
    per_word: u32,     // 1, or 2 for f16
    word: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;   // (2)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups) * 64u + local;
    if (at >= (params.elements + params.per_word - 1u) / params.per_word) { return; }
    let word = a[at];
    let other = word ^ params.word;
    var kept = select(0u, 1u, other == 0u);
    if (params.per_word == 2u) {
        // The upper half of the last word may be padding.
        let has_upper = 2u * at + 1u < params.elements;
        kept = select(0u, 1u, (other & 0xffffu) == 0u) + select(0u, 1u, (other >> 16u) == 0u && has_upper);
    }
    if (kept > 0u) { atomicAdd(&counts[0], kept); }
    if (word != b[at]) { atomicAdd(&counts[1], 1u); }
}
