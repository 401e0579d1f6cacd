// Probe of the cost of one load: eight loads per loop iteration, from a storage buffer, by texel fetch or from a
// uniform buffer.
//
//   at(s) = (lane mod 64 + s·stride) mod 512        y[lane] = Σ_{s < steps} Σ_{i < 8} load(at(s) + 64i)
//
// KIND 0 loads an f32 of `words`, 1 a vec4 of `vectors`, 2 a vec4 of `fetched` (a texel if kernels read texels), 3 a
// vec4 of `constants`. The four components of a vec4 are summed. The stride comes from the host, so that no compiler
// can predict an address. The 16 KiB stay in the nearest cache.
//
// grid   ⌈lanes / 64⌉ workgroups
// reads  words, vectors or fetched, which may be one buffer, or constants
// makes  y (lanes)
#import grid
const KIND: u32 = 0u; // spec 1 2 3

struct Params { lanes: u32, steps: u32, stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<f32>;                // (1024)
@group(0) @binding(2) var<storage, read> vectors: array<vec4<f32>>;        // (1024), no texels
@group(0) @binding(3) var<storage, read> fetched: array<vec4<f32>>;        // (1024)
@group(0) @binding(4) var<uniform> constants: array<vec4<f32>, 1024>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;              // (lanes)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = grid_index(group, groups) * 64u + local;
    if (lane >= params.lanes) { return; }
    var sum = vec4(0.0);
    var first = local;
    for (var s = 0u; s < params.steps; s++) {
        for (var i = 0u; i < 8u; i++) { // unroll
            let at = first + 64u * i;
            if (KIND == 0u) {
                sum.x += words[at];
            } else if (KIND == 1u) {
                sum += vectors[at];
            } else if (KIND == 2u) {
                sum += fetched[at];
            } else {
                sum += constants[at];
            }
        }
        first = (first + params.stride) % 512u;
    }
    y[lane] = dot(sum, vec4(1.0));
}
