// Inner products of the rows of samples with other rows, or with one row for all, added to compensated pairs.
//
//   y[a] (+)= Σ_{t < T} Σ_c u[(a·T + t), first + c] · v[(a·T + t), c]        or v[v_first + c] if v_stride is 0
//
// A workgroup owns one sample. Each invocation sums every 64th element in order; a fixed tree then adds the 64 sums.
// Rows are divided into parts of part_rows, of which the first live[0] − first_sample are samples.
//
// grid   samples workgroups
// reads  u (samples·T, u_stride) · v (samples·T, width) or (v_first + width) · live (1)
// makes  y (samples, 2): high, low
#import grid
#import compensated
struct Params {
    rows: u32, part_rows: u32, first_sample: u32, tokens: u32, width: u32, first: u32, u_stride: u32, v_first: u32,
    v_stride: u32, keep: u32, zero: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;                // (samples·T, u_stride)
@group(0) @binding(2) var<storage, read> v: array<f32>;                // (samples·T, width), or one row
@group(0) @binding(3) var<storage, read> live: array<u32>;             // (1)
@group(0) @binding(4) var<storage, read_write> y: array<vec2<f32>>;    // (samples)

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = grid_index(group, groups);
    var sum = 0.0;
    let counts = sample < params.rows && params.first_sample + sample % params.part_rows < live[0];
    for (var t = 0u; t < select(0u, params.tokens, counts); t++) {
        let row = sample * params.tokens + t;
        var of_row = 0.0;
        for (var c = local; c < params.width; c += 64u) {
            of_row = fma(u[row * params.u_stride + params.first + c], v[row * params.v_stride + params.v_first + c], of_row);
        }
        sum += of_row;
    }
    sums[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (local < half) { sums[local] += sums[local + half]; }
        workgroupBarrier();
    }
    if (local == 0u && counts) {
        var pair = array<vec4<f32>, 2>(vec4(sums[0]), vec4(0.0));
        if (params.keep == 1u) { pair = compensated_add(vec4(y[sample].x), vec4(y[sample].y), vec4(sums[0]), params.zero); }
        y[sample] = vec2(pair[0].x, pair[1].x);
    }
}
