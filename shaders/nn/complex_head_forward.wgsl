// Complex logarithm of an amplitude that is a product of cosh of complex units.
//
//   log ψ = Σ_α log cosh u_α        log_p[b] = 2 Re log ψ        phase[b] = Im log ψ
//
// cosh is even, so that Re u ≥ 0 can be assumed. The phase is continuous in u and not reduced modulo 2π.
//
// grid   ⌈rows / 64⌉ workgroups
// reads  real (rows, C) · imag (rows, C)
// makes  log_p (rows) · phase (rows)
#import complex_cosh
#import grid
#import log_cosh
#import quarter_turn
#import tanh
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> real: array<f32>;                 // (rows, C)
@group(0) @binding(2) var<storage, read> imag: array<f32>;                 // (rows, C)
@group(0) @binding(3) var<storage, read_write> log_p: array<f32>;          // (rows)
@group(0) @binding(4) var<storage, read_write> phase: array<f32>;          // (rows)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if (row >= params.rows) { return; }
    var log_size = 0.0;
    var angle = vec4(0.0);
    for (var first = 0u; first < params.width; first += 4u) {
        let unit = vec4(first) + vec4(0u, 1u, 2u, 3u);
        let inside = unit < vec4(params.width);
        let at = vec4(row * params.width) + min(unit, vec4(params.width - 1u));
        // Units past the end count as 0, whose cosh is 1.
        let a = select(vec4(0.0), vec4(real[at.x], real[at.y], real[at.z], real[at.w]), inside);
        let b = select(vec4(0.0), vec4(imag[at.x], imag[at.y], imag[at.z], imag[at.w]), inside);
        let made = complex_cosh(abs(a), select(b, -b, a < vec4(0.0)));
        log_size += log_cosh_sum(a) + 0.5 * dot(log(made.modulus), vec4(1.0));
        angle += made.angle;
    }
    log_p[row] = 2.0 * log_size;
    phase[row] = (angle.x + angle.y) + (angle.z + angle.w);
}
