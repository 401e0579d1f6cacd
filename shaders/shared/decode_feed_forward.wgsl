// Feed-forward part of the rows of transformer_decode. The hidden layer exists in chunks. An invocation computes four
// units of four samples of a chunk. Then SLICES invocations share the inputs of four outputs and keep the sums over all
// chunks; the slices are added at the end. Group k of four units belongs to slice k mod SLICES, however many rows a
// workgroup has.
const SLICES: u32 = 16u; // spec 8

// Adds the feed-forward part of the rows NORMED to the rows at `into`.
fn add_feed_forward(layer: u32, into: u32) {
    let hidden4 = params.hidden4;
    let weight1 = layer * params.layer_weights + params.linear1;
    let weight2 = layer * params.layer_weights + params.linear2;
    let own_unit = lane % CHUNK4;
    let four_rows = lane / CHUNK4 * 4u;
    let adds = lane < SLICES * WIDTH4;
    let slice = min(lane / WIDTH4, SLICES - 1u);
    var sum: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { sum[r] = vec4(0.0); }
    for (var chunk = 0u; chunk < hidden4; chunk += CHUNK4) {
        let unit = min(chunk + own_unit, hidden4 - 1u);
        let bias = packed[weight1 + 4u * WIDTH4 * hidden4 + unit];
        var h: array<vec4<f32>, 4>;
        for (var r = 0u; r < 4u; r++) { h[r] = bias; }
        for (var first = 0u; first < params.width4; first += AHEAD) {
            var w: array<vec4<f32>, 4u * AHEAD>;
            for (var k = 0u; k < AHEAD; k++) {
                let at = weight1 + 4u * inside(first + k) * hidden4 + unit;
                for (var i = 0u; i < 4u; i++) { w[4u * k + i] = packed[at + i * hidden4]; }
            }
            for (var k = 0u; k < AHEAD; k++) {
                for (var r = 0u; r < 4u; r++) {
                    let x = column(NORMED + (four_rows + r) * WIDTH4, first + k);
                    h[r] = products(h[r], x, w[4u * k], w[4u * k + 1u], w[4u * k + 2u], w[4u * k + 3u]);
                }
            }
        }
        for (var r = 0u; r < 4u; r++) {
            let value = select(vec4(0.0), activation_value4(h[r]), chunk + own_unit < hidden4);
            scratch[(four_rows + r) * CHUNK4 + own_unit] = value;
        }
        workgroupBarrier();
        if (adds) {
            for (var first = slice; first < CHUNK4; first += AHEAD * SLICES) {
                var w: array<vec4<f32>, 4u * AHEAD>;
                for (var k = 0u; k < AHEAD; k++) {
                    let at = weight2 + 4u * min(chunk + first + k * SLICES, hidden4 - 1u) * WIDTH4 + lane % WIDTH4;
                    for (var i = 0u; i < 4u; i++) { w[4u * k + i] = packed[at + i * WIDTH4]; }
                }
                for (var k = 0u; k < AHEAD; k++) {
                    for (var r = 0u; r < ROWS; r++) {
                        let x = scratch[r * CHUNK4 + first + k * SLICES];
                        sum[r] = products(sum[r], x, w[4u * k], w[4u * k + 1u], w[4u * k + 2u], w[4u * k + 3u]);
                    }
                }
            }
        }
        workgroupBarrier();
    }
    // Four rows at a time, which fit.
    for (var g = 0u; g < ROWS / 4u; g++) { // unroll
        if (adds) {
            for (var r = 0u; r < 4u; r++) { scratch[r * SLICES * WIDTH4 + lane] = sum[4u * g + r]; }
        }
        workgroupBarrier();
        if (own_row / 4u == g && lane < OUTPUTS) {
            var total = packed[weight2 + 4u * WIDTH4 * hidden4 + own_column];
            let sums = own_row % 4u * SLICES * WIDTH4 + own_column;
            for (var s = 0u; s < SLICES; s++) { total += scratch[sums + s * WIDTH4]; }
            rows[into + lane] += total;
        }
        workgroupBarrier();
    }
}
