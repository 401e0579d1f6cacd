// Gradient of the cross-entropy of rows of logits, in place, with the loss and the entropy.
//
//   logits[r, v] ← weight_r · ( exp(logits[r, v] − m_r) / Σ_r − [v = target_r] )
//   loss_r = log Σ_r + m_r − logits[r, target_r]      entropy_r = log Σ_r − Σ_v exp(l − m_r) (l − m_r) / Σ_r
//
// All are 0 for rows without a target, and the gradient is 0 in columns without a token. LANES lanes share a row.
//
// grid   ⌈rows · LANES / max(64, LANES)⌉ workgroups
// reads  targets, weight (all rows) · statistics (all rows, 4): m, Σ, Σ_v exp(l − m) (l − m), logit of the target
// makes  logits (rows, columns) · loss, entropy (all rows)
#import grid
#import finite
#import cross_entropy
const LANES: u32 = 8u; // spec 1 4 256

@group(0) @binding(1) var<storage, read_write> logits: array<vec4<f32>>;   // (rows, columns), read back
@group(0) @binding(2) var<storage, read> targets: array<u32>;              // (all rows)
@group(0) @binding(3) var<storage, read> weight: array<f32>;               // (all rows)
@group(0) @binding(4) var<storage, read> statistics: array<vec4<f32>>;     // (all rows)
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;           // (all rows)
@group(0) @binding(6) var<storage, read_write> entropy: array<f32>;        // (all rows)

const THREADS: u32 = max(64u, LANES);
const IGNORED: u32 = 0xffffffffu;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let row = grid_index(group, groups) * (THREADS / LANES) + local / LANES;
    if (row >= params.rows) { return; }
    let at = params.first_row + row;
    let target_token = targets[at];
    let of_row = statistics[at];
    let counts = target_token != IGNORED;
    if (lane == 0u) {
        let log_sum = log(of_row.y);
        // The third sum is not finite if a logit is not.
        let loss_of_row = select(of_row.z, log_sum + (of_row.x - of_row.w), finite(of_row.z));
        loss[at] = select(0.0, loss_of_row, counts);
        entropy[at] = select(0.0, log_sum - of_row.z / of_row.y, counts);
    }
    let scale = select(0.0, weight[at] / of_row.y, counts);
    let hit = select(0.0, weight[at], counts);
    let column = target_token - params.first_token;
    let start = row * params.columns4;
    for (var c = lane; c < params.columns4; c += LANES) {
        let v = 4u * c + vec4(0u, 1u, 2u, 3u);
        let slope = scale * exp(logits[start + c] - of_row.x) - select(vec4(0.0), vec4(hit), v == vec4(column));
        logits[start + c] = select(vec4(0.0), slope, (v < vec4(params.tokens)) & vec4(counts));
    }
}
