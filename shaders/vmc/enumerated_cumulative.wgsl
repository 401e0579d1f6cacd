// Cumulative probabilities of enumerated configurations, in two levels: within blocks, and of the blocks.
//
//   w_i = members_i |ψ_i|^p, relative to the largest
//   cumulative[i] = Σ w_j over j ≤ i in the block of i        block of i = ⌊i / ⌈R / BLOCKS⌉⌋
//   totals[k]     = Σ of the blocks up to k
//
// grid   1 workgroup
// reads  log_p (R): log |ψ|² · log_members (R) · step (8): p in word 5
// makes  cumulative (R) · totals (BLOCKS)
const BLOCKS: u32 = 256u; // spec
struct Params { configurations: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> log_p: array<f32>;                // (R)
@group(0) @binding(2) var<storage, read> log_members: array<f32>;          // (R)
@group(0) @binding(3) var<storage, read> step: array<u32>;                 // (8)
@group(0) @binding(4) var<storage, read_write> cumulative: array<f32>;     // (R)
@group(0) @binding(5) var<storage, read_write> totals: array<f32>;         // (BLOCKS)

var<workgroup> of_block: array<f32, BLOCKS>;

@compute @workgroup_size(BLOCKS)
fn main(@builtin(local_invocation_index) local: u32) {
    let block = (params.configurations + BLOCKS - 1u) / BLOCKS;
    let first = min(local * block, params.configurations);
    let end = min(first + block, params.configurations);
    let half_power = 0.5 * bitcast<f32>(step[5]);

    var top = -3e38;
    for (var i = first; i < end; i++) { top = max(top, half_power * log_p[i] + log_members[i]); }
    of_block[local] = top;
    workgroupBarrier();
    for (var k = 0u; k < BLOCKS; k++) { top = max(top, of_block[k]); }
    workgroupBarrier();

    var sum = 0.0;
    for (var i = first; i < end; i++) {
        sum += exp(half_power * log_p[i] + log_members[i] - top);
        cumulative[i] = sum;
    }
    of_block[local] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var k = 0u; k <= local; k++) { total += of_block[k]; }
    totals[local] = total;
}
