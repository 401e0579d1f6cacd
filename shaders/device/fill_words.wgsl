// Buffer of equal words: poison of outputs, or a buffer that replaces what caches hold. Four vec4s per lane.
//
//   x[i] = word        (i < 4 · vectors)
//
// grid   ⌈vectors / 256⌉ workgroups
// reads  nothing
// makes  x (vectors) of four u32
#import grid
struct Params { vectors: u32, word: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<u32>>;        // (vectors)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = grid_index(group, groups) * 256u + local;
    for (var i = 0u; i < 4u; i++) {
        let at = first + 64u * i;
        if (at < params.vectors) { x[at] = vec4(params.word); }
    }
}
