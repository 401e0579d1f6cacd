// Mean acceptance rate of all chains.
//
//   acceptance = Σ_c accepted_c / proposals / chains
//
// Each invocation sums every 64th chain in order. A fixed tree then adds the 64 sums.
//
// grid   1 workgroup
// reads  accepted (chains)
// makes  acceptance (1)
struct Params { chains: u32, proposals: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> accepted: array<u32>;             // (chains)
@group(0) @binding(2) var<storage, read_write> acceptance: array<f32>;     // (1)

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var c = local; c < params.chains; c += 64u) { sum += f32(accepted[c]) / params.proposals; }
    sums[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (local < half) { sums[local] += sums[local + half]; }
        workgroupBarrier();
    }
    if (local == 0u) { acceptance[0] = sums[0] / f32(params.chains); }
}
