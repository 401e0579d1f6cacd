// Offsets of the connected configurations of each deduplicated sample in the list of all.
//
//   offsets[u] = Σ_{w < u} counts[w]        total = Σ_w counts[w]
//
// Each of 64 invocations sums a contiguous range of items in order.
//
// grid   1 workgroup
// reads  counts (items)
// makes  offsets (items) · total (1)
struct Params { items: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> counts: array<u32>;               // (items)
@group(0) @binding(2) var<storage, read_write> offsets: array<u32>;        // (items)
@group(0) @binding(3) var<storage, read_write> total: array<u32>;          // (1)

var<workgroup> sums: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32) {
    let stretch = (params.items + 63u) / 64u;
    let first = min(local * stretch, params.items);
    let end = min(first + stretch, params.items);
    var sum = 0u;
    for (var u = first; u < end; u++) { sum += counts[u]; }
    sums[local] = sum;
    workgroupBarrier();
    var before = 0u;
    for (var w = 0u; w < local; w++) { before += sums[w]; }
    if (local == 63u) { total[0] = before + sum; }
    for (var u = first; u < end; u++) {
        offsets[u] = before;
        before += counts[u];
    }
}
