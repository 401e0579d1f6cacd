// Parameters of the forward pass of general attention, and its bindings that are not rows of heads.
struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, group: u32, width: u32, value_width: u32, halves: u32, steps: u32,
    q_offset: u32, q_sample: u32, q_position: u32, q_head: u32, k_offset: u32, k_sample: u32, k_position: u32, k_head: u32,
    v_offset: u32, v_sample: u32, v_position: u32, v_head: u32,
    out_offset: u32, out_sample: u32, out_position: u32, out_head: u32,
    scale: f32, softcap: f32, before: u32, after: u32, past: u32, counted: u32,
    biased: u32, bias_sample: u32, bias_head: u32, bias_query: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_counts: array<u32>;           // (B)
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;            // (B, H, Tq)
