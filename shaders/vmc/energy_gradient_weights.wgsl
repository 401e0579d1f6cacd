// Gradient of the energy with respect to the log-probability and the phase of each deduplicated sample.
//
//   d_log_p[i] = count_i Re(E(b) − Ē) / B          d_phase[i] = 2 count_i Im(E(b) − Ē) / B
//   b          = i − i mod S + sample_of_i         E(b) = columns 0 and IMAGINARY of values[b − b mod G + unique_of_b]
//
// Deduplicated samples are numbered within spans of S samples in the output, and within groups of G samples in
// `values`. Spans do not depend on the available memory.
//
// grid   ⌈B / 64⌉ workgroups
// reads  values (B, COLUMNS) and dedup_of (B), by groups · sample_of (B) and count (B), by spans ·
//        statistics (COLUMNS, 2)
// makes  d_log_psi: d_log_p (B), by spans, and with PARTS = 2 from phase_at on d_phase (B)
#import columns
#import grid
const PARTS: u32 = 1u; // spec 2
struct Params { samples: u32, group_samples: u32, span_samples: u32, phase_at: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;               // (B, COLUMNS)
@group(0) @binding(2) var<storage, read> dedup_of: array<u32>;            // (B)
@group(0) @binding(3) var<storage, read> sample_of: array<u32>;            // (B)
@group(0) @binding(4) var<storage, read> count: array<u32>;                // (B)
@group(0) @binding(5) var<storage, read> statistics: array<f32>;           // (COLUMNS, 2)
@group(0) @binding(6) var<storage, read_write> d_log_psi: array<f32>;      // (B), or phase_at + B

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if (i >= params.samples) { return; }
    // Outputs past the last deduplicated sample are never read. The bounds keep their undefined indices in range.
    let b = min(i - i % params.span_samples + sample_of[i], params.samples - 1u);
    let group_first = b - b % params.group_samples;
    let row = min(group_first + dedup_of[b], params.samples - 1u);
    let weight = f32(count[i]);
    d_log_psi[i] = weight * (values[row * COLUMNS] - statistics[0]) / f32(params.samples);
    if (PARTS == 2u) {
        let distance = values[row * COLUMNS + IMAGINARY] - statistics[2u * IMAGINARY];
        d_log_psi[params.phase_at + i] = 2.0 * weight * distance / f32(params.samples);
    }
}
