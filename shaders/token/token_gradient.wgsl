// Gradient of a table of tokens.
//
//   d_table[v − first_token, c] += Σ_{r: token_r = v} d_x[r, c]
//
// A workgroup owns 16 vec4 columns of one distinct token. Slice s adds the token's rows s, s + SLICES, …, and then the
// slices are added in order.
//
// grid   distinct tokens · ⌈C / 64⌉ workgroups; more tokens than the index has do nothing
// reads  d_x (rows, C) · index (3·rows + 2): number of distinct tokens, tokens, offsets, rows by token
// makes  d_table (tokens, C)
// C is a multiple of 4.
#import grid
const COLUMNS4: u32 = 16u;
const SLICES: u32 = 16u; // spec 1
const THREADS: u32 = COLUMNS4 * SLICES;

struct Params { capacity: u32, width4: u32, first_token: u32, tokens: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_x: array<vec4<f32>>;            // (rows, C)
@group(0) @binding(2) var<storage, read> index: array<u32>;                // (3·rows + 2)
@group(0) @binding(3) var<storage, read_write> d_table: array<vec4<f32>>;  // (tokens, C)

var<workgroup> partial: array<vec4<f32>, THREADS>;                         // (SLICES, COLUMNS4)

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let blocks = (params.width4 + COLUMNS4 - 1u) / COLUMNS4;
    let entry = grid_index(group, groups) / blocks;
    let slice = local / COLUMNS4;
    let c = (grid_index(group, groups) % blocks) * COLUMNS4 + local % COLUMNS4;
    // Position of the token in the table. Smaller tokens wrap around to large numbers.
    var token = params.tokens;
    if (entry < index[0]) { token = index[1u + entry] - params.first_token; }
    var sum = vec4(0.0);
    if (token < params.tokens && c < params.width4) {
        let end = index[params.capacity + 2u + entry];
        for (var place = index[params.capacity + 1u + entry] + slice; place < end; place += SLICES) {
            sum += d_x[index[2u * params.capacity + 2u + place] * params.width4 + c];
        }
    }
    partial[local] = sum;
    workgroupBarrier();
    if (token < params.tokens && c < params.width4 && slice == 0u) {
        for (var other = 1u; other < SLICES; other++) { sum += partial[other * COLUMNS4 + local]; }
        d_table[token * params.width4 + c] += sum;
    }
}
