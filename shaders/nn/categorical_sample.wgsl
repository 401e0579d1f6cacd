// Sampling of the outcome of patch t of every sample, and row metadata of patch t + 1.
//
//   word = philox(counter = (sample, t, step, 0), key = seed)
//   token as in draw, or with given = 1 the token already in tokens
//
// A given outcome outside the sector has log_p = NEG_LARGE. After the last patch, the row is reset to that of an empty
// configuration for the next step.
//
// grid   ⌈B / 64⌉ workgroups
// reads  logits (B, T, V) · step: seed (2), step number, learning rate · rows (B) of patch t
// makes  tokens (B, T) · log_p (B, T), each at patch t only · rows (B): token, position, 0, sites occupied before
#import grid
#import philox
#import sector
#import draw
struct Params {
    samples: u32, outcomes: u32, patches: u32, sites_per_patch: u32, excitations: u32, position: u32, first_sample: u32,
    given: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;               // (B, T, V)
@group(0) @binding(2) var<storage, read> step: array<u32>;                 // (4)
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;         // (B, T)
@group(0) @binding(4) var<storage, read_write> log_p: array<f32>;          // (B, T)
@group(0) @binding(5) var<storage, read_write> rows: array<vec4<u32>>;     // (B)

fn draw_logit(at: u32) -> f32 { return logits[at]; }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = grid_index(group, groups) * 64u + local;
    if (sample >= params.samples) { return; }
    let at = sample * params.patches + params.position;
    let start = at * params.outcomes;
    let before = rows[sample].w;
    let sector = Sector(params.excitations, params.sites_per_patch, params.patches);
    let room = sector_room(sector, params.position, before);
    let word = philox(vec4(params.first_sample + sample, params.position, step[2], 0u), vec2(step[0], step[1])).x;
    let drawn = draw(start, params.outcomes, room, word);
    var token = drawn.token;
    if (params.given == 1u) {
        token = min(tokens[at], params.outcomes - 1u);
    } else {
        tokens[at] = token;
    }
    log_p[at] = draw_log_p(drawn, start, token, room);
    let last = params.position + 1u == params.patches;
    let counted = select(before + countOneBits(token), 0u, params.excitations == EVERY_SECTOR);
    rows[sample] = select(vec4(token, params.position + 1u, 0u, counted), vec4(0u), last);
}
