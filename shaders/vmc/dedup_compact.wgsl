// Numbering of the deduplicated configurations, in the order of their first samples.
//
//   dedup_of[b]  = #{ a < first[b] : first[a] = a }
//   sample_of[u]  = the u-th sample with first[b] = b        count[u] = #{ b : first[b] = sample_of[u] }
//   live[0]       = number of deduplicated configurations
//
// grid   ⌈B / 64⌉ workgroups
// reads  first (B)
// makes  dedup_of (B) · sample_of (B) · count (B), both up to live[0] · live (1)
#import grid
struct Params { samples: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> first: array<u32>;                // (B)
@group(0) @binding(2) var<storage, read_write> dedup_of: array<u32>;      // (B)
@group(0) @binding(3) var<storage, read_write> sample_of: array<u32>;      // (B)
@group(0) @binding(4) var<storage, read_write> count: array<u32>;          // (B)
@group(0) @binding(5) var<storage, read_write> live: array<u32>;           // (1)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = grid_index(group, groups) * 64u + local;
    if (b >= params.samples) { return; }
    let mine = first[b];
    var rank = 0u;
    var copies = 0u;
    var all_of_them = 0u;
    for (var a = 0u; a < params.samples; a++) {
        let of_a = first[a];
        let is_first = select(0u, 1u, of_a == a);
        all_of_them += is_first;
        rank += select(0u, is_first, a < mine);
        copies += select(0u, 1u, of_a == mine);
    }
    dedup_of[b] = rank;
    if (mine == b) {
        sample_of[rank] = b;
        count[rank] = copies;
    }
    if (b == 0u) { live[0] = all_of_them; }
}
