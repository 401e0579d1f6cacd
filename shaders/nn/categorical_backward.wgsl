// Gradient of the logits of the categorical head, in place; 0 for outcomes outside the sector.
//
//   d_logits[r, v] = d_log_p[r / T] · ( [v = target_r] − exp(logits[r, v] − lse[r]) )
//
// grid   ⌈rows / 64⌉ workgroups
// reads  rows (rows): token, position, target, sites occupied before · lse (rows) · d_log_p (samples)
// makes  logits (rows, V), which become d_logits
#import grid
#import sector
struct Params { rows: u32, outcomes: u32, patches: u32, sites_per_patch: u32, excitations: u32, first_sample: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;           // (rows)
@group(0) @binding(2) var<storage, read> lse: array<f32>;                  // (rows)
@group(0) @binding(3) var<storage, read> d_log_p: array<f32>;              // (samples)
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;         // (rows, V)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let slope = d_log_p[params.first_sample + row / params.patches];
    let described = rows[row];
    let sector = Sector(params.excitations, params.sites_per_patch, params.patches);
    let room = sector_room(sector, described.y, described.w);
    let start = row * params.outcomes;
    for (var v = 0u; v < params.outcomes; v++) {
        let p = exp(logits[start + v] - lse[row]);
        let d_logit = slope * (select(0.0, 1.0, v == described.z) - p);
        logits[start + v] = select(0.0, d_logit, sector_allows(room, v));
    }
}
