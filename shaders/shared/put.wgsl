// Stores and loads of parts of rows of d_qkv, which hold the contribution of a state until that of the chunk is added.
// The importing file binds `d_qkv`.
fn put(start: u32, part: u32, value: vec4<f32>) {
    for (var e = 0u; e < min(4u, HEAD_DIM - 4u * part); e++) { d_qkv[start + 4u * part + e] = value[e]; }
}

fn taken(start: u32, part: u32) -> vec4<f32> {
    let at = vec4(start) + head_index(part);
    return vec4(d_qkv[at.x], d_qkv[at.y], d_qkv[at.z], d_qkv[at.w]);
}
