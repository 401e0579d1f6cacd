// Indirect dispatch arguments of launches with dynamic rows, whose number is only known on the GPU.
//
//   items  = clamp(live[counter] − first, 0, capacity)
//   rows   = min(items · rows_per_item − skip, limit), at least 0
//   groups = ⌈rows / rows_per_block⌉ · groups_per_block, folded into x and y
//
// grid   ⌈launches / 64⌉ workgroups
// reads  live (counters) ·
//        descriptions (launches, 8): first, capacity, rows_per_item, rows_per_block, groups_per_block, counter, skip, limit
// makes  grids (launches, 4): x, y, 1, 0
struct Params { launches: u32, limit: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> live: array<u32>;                 // (counters)
@group(0) @binding(2) var<storage, read> descriptions: array<vec4<u32>>;       // (launches, 2)
@group(0) @binding(3) var<storage, read_write> grids: array<vec4<u32>>;    // (launches)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.launches) { return; }
    let window = descriptions[2u * id.x];
    let more = descriptions[2u * id.x + 1u];
    let items = min(max(live[more.y], window.x) - window.x, window.y);
    let rows = min(max(items * window.z, more.z) - more.z, more.w);
    let blocks = rows / max(window.w, 1u) + select(0u, 1u, rows % max(window.w, 1u) != 0u);
    let groups = blocks * more.x;
    let y = (groups + params.limit - 1u) / params.limit;
    let x = (groups + max(y, 1u) - 1u) / max(y, 1u);
    grids[id.x] = vec4(x, y, 1u, 0u);
}
