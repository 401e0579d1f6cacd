// A part of the row of queries, keys and values that begins at `start`, of the changed rows or of their base samples.
// The importing file imports load and binds the base samples twice, as `base_qkv` and as vec4s `base_qkv4`.
fn load_changed(changed: bool, start: u32, part: u32) -> vec4<f32> {
    if (changed) { return load(start, part); }
    if (HEAD_ALIGNED) { return vec4<f32>(base_qkv4[start / 4u + part]); }
    let at = vec4(start) + head_index(part);
    return vec4<f32>(vec4(base_qkv[at.x], base_qkv[at.y], base_qkv[at.z], base_qkv[at.w]));
}
