// Energy, variance and density of a step, as one entry of a ring over the newest steps.
//
//   history[(step − 1) mod R] = (step, Ē, s², (M̄ / N + 1) / 2)
//
// grid   1 workgroup
// reads  statistics (COLUMNS, 2): mean and variance · step (8): step number in word 2
// makes  history (R, 4), one entry; the others remain
struct Params { entries: u32, sites: f32 }
const MAGNETIZATION: u32 = 1u; // spec 1
const IMAGINARY: u32 = 8u; // spec 8
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> statistics: array<f32>;           // (COLUMNS, 2)
@group(0) @binding(2) var<storage, read> step: array<u32>;                 // (8)
@group(0) @binding(3) var<storage, read_write> history: array<vec4<f32>>;  // (R)

@compute @workgroup_size(1)
fn main() {
    let variance = statistics[1] + statistics[2u * IMAGINARY + 1u];
    let density = 0.5 * (statistics[2u * MAGNETIZATION] / params.sites + 1.0);
    history[(max(step[2], 1u) - 1u) % params.entries] = vec4(f32(step[2]), statistics[0], variance, density);
}
