// Softmax attention of few queries over many keys: sum of the splits of attention_general_forward_split.
//
//   out_i = Σ_s exp(m_is − m_i) part_is / Σ_s exp(m_is − m_i) sum_is        m_i = max_s m_is        lse_i = m_i + log Σ_s …
//
// A workgroup owns COLUMNS columns of a row and iterates over BLOCK splits at a time. SHARES lanes add every SHARES-th split
// of a column; their sums are added in order. Splits whose sum is 0 do not count, whatever part is. Without any other, out
// is 0 and lse −10³⁰.
//
// grid   B · H · Tq · ⌈Dv / COLUMNS⌉ workgroups of 64 invocations
// reads  part (B, H, Tq, splits, Dv) · part_sum (B, H, Tq, splits): m in units of log 2, and sum
// makes  out (B, Tq, H, Dv) with strides · lse (B, H, Tq)
#import grid
#import cache
const COLUMNS: u32 = 16u;
const SHARES: u32 = 4u;
const BLOCK: u32 = COLUMNS * SHARES;
const LOG_2: f32 = 0.6931471805599453;
const SMALLEST: f32 = -1e30;               // start of the maximum, and lse of a query that sees no key

struct Params {
    rows: u32, queries: u32, heads: u32, splits: u32, value_width: u32,
    out_offset: u32, out_sample: u32, out_position: u32, out_head: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;                 // (B, H, Tq, splits, Dv)
@group(0) @binding(2) var<storage, read> part_sum: array<vec2<f32>>;       // (B, H, Tq, splits)
@group(0) @binding(3) var<storage, read_write> out: array<Cache>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;            // (B, H, Tq)

var<workgroup> of_split: array<vec2<f32>, BLOCK>;
var<workgroup> of_lane: array<vec2<f32>, BLOCK>;

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = grid_index(group, groups);
    let column_blocks = (params.value_width + COLUMNS - 1u) / COLUMNS;
    let column = index % column_blocks * COLUMNS + lane % COLUMNS;
    let inside = index / column_blocks < params.rows;
    let row = min(index / column_blocks, params.rows - 1u);
    let start = row * params.splits;

    var largest = SMALLEST;
    var sum = vec2(0.0);                   // Σ part, Σ sum
    for (var s0 = 0u; s0 < params.splits; s0 += BLOCK) {
        let own = part_sum[min(start + s0 + lane, start + params.splits - 1u)];
        workgroupBarrier();
        of_split[lane] = own;
        workgroupBarrier();
        let count = min(BLOCK, params.splits - s0);
        let earlier = largest;
        for (var s = 0u; s < count; s++) { largest = max(largest, of_split[s].x); }
        sum *= exp2(earlier - largest);
        for (var s = lane / COLUMNS; s < count; s += SHARES) {
            let split = of_split[s];
            if (split.y != 0.0) {
                let value = part[(start + s0 + s) * params.value_width + min(column, params.value_width - 1u)];
                sum = fma(vec2(exp2(split.x - largest)), vec2(value, split.y), sum);
            }
        }
    }
    of_lane[lane] = sum;
    workgroupBarrier();
    if (!inside || lane >= COLUMNS || column >= params.value_width) { return; }
    for (var share = 1u; share < SHARES; share++) { sum += of_lane[lane + share * COLUMNS]; }
    let query = row % params.queries;
    let head = row / params.queries % params.heads;
    let sample = row / params.queries / params.heads;
    let to = params.out_offset + sample * params.out_sample + query * params.out_position + head * params.out_head;
    out[to + column] = cached(sum.x / select(sum.y, 1.0, sum.y == 0.0));
    if (column == 0u) { lse[row] = select((largest + log2(sum.y)) * LOG_2, SMALLEST, sum.y == 0.0); }
}
