// Subtraction of the mean over samples from a panel of the Jacobian, whose rows are weighted by the square roots of the
// sample weights.
//
//   panel[r, k] ← panel[r, k] − s_r Σ_q s_q panel[q, k]        s_q = √(weight of q), Σ s² = 1; r, q in one part
//
// An invocation owns a column of one part of part_rows rows, of which the first live[0] are samples. It sums them in
// blocks of 64 rows.
//
// grid   parts · columns invocations, 64 to a workgroup
// reads  root (part_rows): s · live (1)
// makes  panel (parts·part_rows, columns)
#import grid
struct Params { parts: u32, part_rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> root: array<f32>;             // (part_rows)
@group(0) @binding(2) var<storage, read> live: array<u32>;             // (1)
@group(0) @binding(3) var<storage, read_write> panel: array<f32>;      // (parts·part_rows, columns)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    if (index >= params.parts * params.columns) { return; }
    let rows = min(live[0], params.part_rows);
    let start = index / params.columns * params.part_rows * params.columns + index % params.columns;
    var mean = 0.0;
    for (var first = 0u; first < rows; first += 64u) {
        var sum = 0.0;
        for (var r = first; r < min(first + 64u, rows); r++) { sum = fma(root[r], panel[start + r * params.columns], sum); }
        mean += sum;
    }
    for (var r = 0u; r < rows; r++) {
        let at = start + r * params.columns;
        panel[at] = fma(-root[r], mean, panel[at]);
    }
}
