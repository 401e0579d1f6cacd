// Log-probability of the target outcome of each row, over the outcomes that the sector allows.
//
//   lse[r] = log Σ_v exp(logits[r, v])        log_p[r] = logits[r, target_r] − lse[r], or NEG_LARGE outside the sector
//
// grid   ⌈rows / 64⌉ workgroups
// reads  rows (rows): token, position, target, sites occupied before · logits (rows, V)
// makes  log_p (rows) · lse (rows)
#import grid
#import sector
struct Params { rows: u32, outcomes: u32, patches: u32, sites_per_patch: u32, excitations: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;           // (rows)
@group(0) @binding(2) var<storage, read> logits: array<f32>;               // (rows, V)
@group(0) @binding(3) var<storage, read_write> log_p: array<f32>;          // (rows)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;            // (rows)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    let described = rows[row];
    let sector = Sector(params.excitations, params.sites_per_patch, params.patches);
    let room = sector_room(sector, described.y, described.w);
    let start = row * params.outcomes;
    var top = LOWEST;
    for (var v = 0u; v < params.outcomes; v++) {
        top = max(top, select(LOWEST, logits[start + v], sector_allows(room, v)));
    }
    var sum = 0.0;
    for (var v = 0u; v < params.outcomes; v++) {
        sum += select(0.0, exp(logits[start + v] - top), sector_allows(room, v));
    }
    let log_sum = top + log(sum);
    lse[row] = log_sum;
    log_p[row] = select(NEG_LARGE, logits[start + described.z] - log_sum, sector_allows(room, described.z));
}
