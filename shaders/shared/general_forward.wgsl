// Rows of heads of the forward pass of general attention, one element at a time. The importing file imports cache and
// strided_rows.
@group(0) @binding(1) var<storage, read> q: array<Cache>;
@group(0) @binding(2) var<storage, read> k: array<Cache>;
@group(0) @binding(3) var<storage, read> v: array<Cache>;
@group(0) @binding(6) var<storage, read_write> out: array<Cache>;

fn element(source: u32, at: u32) -> f32 {
    if (source == QUERY) { return f32(q[at]); }
    if (source == KEY) { return f32(k[at]); }
    return f32(v[at]);
}

fn put(at: u32, value: f32) { out[at] = cached(value); }
