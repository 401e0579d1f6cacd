// Mean and unbiased variance of each column of the values over all B samples, repeats included.
//
//   mean_k = Σ_b values[row_b, k] / B        variance_k = Σ_b (values[row_b, k] − mean_k)² / (B − 1)
//   row_b = b − b mod G + dedup_of[b]
//
// A workgroup owns one column. Each invocation sums every 64th sample in order; a fixed tree then adds the 64 sums.
//
// grid   COLUMNS workgroups
// reads  values (B, COLUMNS) · dedup_of (B), numbered within groups of G samples
// makes  statistics (COLUMNS, 2): mean, variance
#import columns
struct Params { samples: u32, group_samples: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;               // (B, COLUMNS)
@group(0) @binding(2) var<storage, read> dedup_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read_write> statistics: array<f32>;     // (COLUMNS, 2)

var<workgroup> sums: array<f32, 64>;

fn total(local: u32, mine: f32) -> f32 {
    sums[local] = mine;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (local < half) { sums[local] += sums[local + half]; }
        workgroupBarrier();
    }
    let sum = sums[0];
    workgroupBarrier();
    return sum;
}

fn value(b: u32, column: u32) -> f32 {
    return values[(b - b % params.group_samples + dedup_of[b]) * COLUMNS + column];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let column = group.x;
    var sum = 0.0;
    for (var b = local; b < params.samples; b += 64u) { sum += value(b, column); }
    let mean = total(local, sum) / f32(params.samples);
    var squares = 0.0;
    for (var b = local; b < params.samples; b += 64u) {
        let distance = value(b, column) - mean;
        squares += distance * distance;
    }
    let variance = total(local, squares) / max(f32(params.samples) - 1.0, 1.0);
    if (local == 0u) {
        statistics[2u * column] = mean;
        statistics[2u * column + 1u] = variance;
    }
}
