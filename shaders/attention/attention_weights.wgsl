// Attention weights of full sequences, averaged over samples.
//
//   weight[h, i, j] = 1/B Σ_b p_ij
//   softmax    p_ij = exp(q_i · k_j / √D − total_i)
//   linear     p_ij = φ(q_i) · φ(k_j) / total_i        φ(x) = elu(x) + 1
//
// The weight is 0 for j > i if attention is causal. Samples are added in order.
//
// grid   H · T · T invocations, 64 to a workgroup
// reads  qkv (B·T, 3C), bound twice: as vec4s for D a multiple of 4, as floats for any other
//        total (B·T, H): log-sum-exp, or denominators
// makes  weight (H, T, T)
#import grid
#import head
#import load
#import cache
#import feature
const LINEAR: u32 = 0u; // spec 1

struct Params { samples: u32, tokens: u32, heads: u32, causal: u32, scale: f32, share: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Cache>;                // (B·T, 3C)
@group(0) @binding(2) var<storage, read> qkv4: array<vec4<Cache>>;         // (B·T, 3C)
@group(0) @binding(3) var<storage, read> total: array<f32>;                // (B·T, H)
@group(0) @binding(4) var<storage, read_write> weight: array<f32>;         // (H, T, T)

// Factor of a query or a key in the product.
fn mapped(start: u32, part: u32) -> vec4<f32> {
    if (LINEAR == 1u) { return head_padded(part, feature(load(start, part))); }
    return load_padded(start, part);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let key = index % params.tokens;
    let query = index / params.tokens % params.tokens;
    let head = index / params.tokens / params.tokens;
    if (head >= params.heads) { return; }
    let width = params.heads * HEAD_DIM;
    var sum = 0.0;
    if (params.causal == 0u || key <= query) {
        for (var sample = 0u; sample < params.samples; sample++) {
            let row = sample * params.tokens;
            let q = (row + query) * 3u * width + head * HEAD_DIM;
            let k = ((row + key) * 3u + 1u) * width + head * HEAD_DIM;
            var product = 0.0;
            for (var c = 0u; c < PARTS; c++) { product += dot(mapped(q, c), mapped(k, c)); }
            let of_query = total[(row + query) * params.heads + head];
            if (LINEAR == 1u) { sum += product / of_query; } else { sum += exp(product * params.scale - of_query); }
        }
    }
    weight[index] = sum * params.share;
}
