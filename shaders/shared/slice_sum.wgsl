// Sum of the slices of feed_forward_slices, in order, with bias and residual.
struct Params { rows: u32, width4: u32, slices: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<vec4<f32>>;          // (slices, rows, C)
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;      // (rows, C)
@group(0) @binding(3) var<storage, read> bias2: array<vec4<f32>>;         // (C)

// Vector `at` of the sum, which is vector `column4` of its row.
fn slice_sum(at: u32, column4: u32) -> vec4<f32> {
    let stride = params.rows * params.width4;
    var sum = residual[at] + bias2[column4];
    var source = at;
    for (var s = 0u; s < params.slices; s++) {
        sum += part[source];
        source += stride;
    }
    return sum;
}
