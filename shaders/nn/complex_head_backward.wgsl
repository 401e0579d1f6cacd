// Gradient of the complex logarithm of an amplitude with respect to its complex units.
//
//   d_real[b, α] = 2 w_b Re τ + v_b Im τ        d_imag[b, α] = v_b Re τ − 2 w_b Im τ        τ = tanh u_α
//
// w_b = d_log_p[first + b] is the gradient with respect to 2 Re log ψ. v_b = d_phase[first + b] is that with respect to
// Im log ψ, 0 with PHASE = 0.
//
// grid   ⌈rows · ⌈C / 4⌉ / 64⌉ workgroups
// reads  d_log_p (B) · d_phase (B) · real (rows, C) · imag (rows, C)
// makes  d_real (rows, C) · d_imag (rows, C)
#import complex_cosh
#import grid
#import quarter_turn
#import tanh
const PHASE: u32 = 1u; // spec 0
struct Params { rows: u32, width: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_log_p: array<f32>;              // (B)
@group(0) @binding(2) var<storage, read> d_phase: array<f32>;              // (B)
@group(0) @binding(3) var<storage, read> real: array<f32>;                 // (rows, C)
@group(0) @binding(4) var<storage, read> imag: array<f32>;                 // (rows, C)
@group(0) @binding(5) var<storage, read_write> d_real: array<f32>;         // (rows, C)
@group(0) @binding(6) var<storage, read_write> d_imag: array<f32>;         // (rows, C)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = grid_index(group, groups) * 64u + local;
    let quads = (params.width + 3u) / 4u;
    let row = index / quads;
    if (row >= params.rows) { return; }
    let unit = vec4(4u * (index % quads)) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row * params.width) + min(unit, vec4(params.width - 1u));
    let a = vec4(real[at.x], real[at.y], real[at.z], real[at.w]);
    let b = vec4(imag[at.x], imag[at.y], imag[at.z], imag[at.w]);
    // tanh is odd.
    let side = select(vec4(1.0), vec4(-1.0), a < vec4(0.0));
    let made = complex_cosh(abs(a), side * b);
    let tau_real = side * made.t / made.modulus;
    let tau_imag = side * (1.0 - made.t) * (1.0 + made.t) * made.turn / made.modulus;
    let w = 2.0 * d_log_p[params.first + row];
    var v = 0.0;
    if (PHASE == 1u) { v = d_phase[params.first + row]; }
    let by_real = w * tau_real + v * tau_imag;
    let by_imag = v * tau_real - w * tau_imag;
    for (var c = 0u; c < 4u; c++) {
        if (unit[c] < params.width) {
            d_real[at[c]] = by_real[c];
            d_imag[at[c]] = by_imag[c];
        }
    }
}
