// Parameters cast to f16, two per word, for passes that store their weights as f16.
//
//   halves[i] = values[i] rounded to the nearest f16, ties to even, clamped to ±65504
//
// The cast operates on the bits, because the rounding of drivers' conversions differs. Each invocation casts four
// elements.
//
// grid   ⌈elements / 4⌉ invocations, 64 to a workgroup
// reads  values (elements), as bits
// makes  halves (elements), element 2w in the lower half of word w
#import grid

struct Params { elements: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;         // (elements)
@group(0) @binding(2) var<storage, read_write> halves: array<vec2<u32>>;   // (elements / 2)

const LARGEST: u32 = 0x477fe000u;         // 65504
const SMALLEST_NORMAL: u32 = 0x38800000u; // 2⁻¹⁴
const INFINITY: u32 = 0x7f800000u;

// value / 2^shift rounded to the nearest integer, ties to even.
fn shifted(value: u32, shift: u32) -> u32 {
    return (value + (1u << (shift - 1u)) - 1u + ((value >> shift) & 1u)) >> shift;
}

fn half_bits(bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    let magnitude = bits & 0x7fffffffu;
    if (magnitude > INFINITY) { return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu); }
    if (magnitude >= LARGEST) { return sign | 0x7bffu; }
    if (magnitude >= SMALLEST_NORMAL) { return sign | (shifted(magnitude, 13u) - (112u << 10u)); }
    // Below 2⁻¹⁴, f16 is subnormal with units of 2⁻²⁴. Below 2⁻²⁵ it rounds to 0.
    let exponent = magnitude >> 23u;
    if (exponent < 102u) { return sign; }
    return sign | shifted((magnitude & 0x7fffffu) | 0x800000u, 126u - exponent);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (4u * i >= params.elements) { return; }
    let v = values[i];
    halves[i] = vec2(half_bits(v.x) | (half_bits(v.y) << 16u), half_bits(v.z) | (half_bits(v.w) << 16u));
}
