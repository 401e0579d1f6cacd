// Parameters in the order in which transformer_decode reads them, by segments.
//
//   packed[first + (4k + i)·⌈O/4⌉ + o] = source[(4o + i)·K/4 + k]      a matrix (O, K), k < K/4, o < ⌈O/4⌉, i < 4
//   packed[first + n] = source[n]                                      others
//
// A vec4 of a matrix holds four inputs of one output. Past the end of a segment, its last output or element is repeated.
//
// grid   an invocation for each vec4 of packed, 64 to a workgroup
// reads  segments: first vec4 of packed · first element of the source · kind: K, or one of the kinds below · O, or the
//        number of elements · values: parameters · matrices: parameters, possibly as f16 · table (T, C)
// makes  packed
// K is a multiple of 4.
#import grid
#import weight
const COPY: u32 = 0u;
const TABLE: u32 = 1u;

struct Params { count: u32, segments: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> segments: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> matrices: array<vec4<Weight>>;
@group(0) @binding(4) var<storage, read> table: array<f32>;
@group(0) @binding(5) var<storage, read_write> packed: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    if (index >= params.count) { return; }
    var segment = segments[0];
    for (var s = 1u; s < params.segments; s++) {
        let next = segments[s];
        if (next.x <= index) { segment = next; }
    }
    let within = index - segment.x;
    if (segment.z <= TABLE) {
        var value: vec4<f32>;
        for (var e = 0u; e < 4u; e++) {
            let at = segment.y + min(4u * within + e, segment.w - 1u);
            if (segment.z == TABLE) { value[e] = table[at]; } else { value[e] = values[at]; }
        }
        packed[index] = value;
        return;
    }
    let outputs4 = (segment.w + 3u) / 4u;
    let output = min(4u * (within % outputs4) + within / outputs4 % 4u, segment.w - 1u);
    let input4 = within / (4u * outputs4);
    packed[index] = vec4<f32>(matrices[segment.y / 4u + output * (segment.z / 4u) + input4]);
}
