// Numbers of each query for the backward pass of general attention.
//
//   δ_i = d_out_i · out_i
//
// Dao et al., arXiv:2205.14135, appendix B.
//
// grid   B · H · Tq invocations, 64 to a workgroup
// reads  out and d_out (B, Tq, H, Dv) with strides · lse (B, H, Tq)
// makes  statistics (B, H, Tq, 2): lse_i, δ_i
#import grid
#import cache

struct Params {
    rows: u32, queries: u32, heads: u32, value_width: u32,
    out_offset: u32, out_sample: u32, out_position: u32, out_head: u32,
    d_out_offset: u32, d_out_sample: u32, d_out_position: u32, d_out_head: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> out: array<Cache>;
@group(0) @binding(2) var<storage, read> d_out: array<Cache>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;                  // (B, H, Tq)
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;     // (B, H, Tq, 2)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let query = row % params.queries;
    let head = row / params.queries % params.heads;
    let sample = row / params.queries / params.heads;
    let at = params.out_offset + sample * params.out_sample + query * params.out_position + head * params.out_head;
    let d_at = params.d_out_offset + sample * params.d_out_sample + query * params.d_out_position + head * params.d_out_head;
    var delta = 0.0;
    for (var e = 0u; e < params.value_width; e++) { delta = fma(f32(out[at + e]), f32(d_out[d_at + e]), delta); }
    statistics[2u * row] = lse[row];
    statistics[2u * row + 1u] = delta;
}
