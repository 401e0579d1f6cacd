// A part of a row of queries, keys and values that begins at `start`, of the changed rows or of their base samples. The
// importing file binds both twice, as `qkv`, `base_qkv` and in vec4s as `qkv4`, `base_qkv4`. Past the end of a head stands its
// last element.
fn load_changed(changed: bool, start: u32, part: u32) -> vec4<f32> {
    if (HEAD_ALIGNED) {
        if (changed) { return vec4<f32>(qkv4[start / 4u + part]); }
        return vec4<f32>(base_qkv4[start / 4u + part]);
    }
    let at = vec4(start) + head_index(part);
    if (changed) { return vec4<f32>(vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w])); }
    return vec4<f32>(vec4(base_qkv[at.x], base_qkv[at.y], base_qkv[at.z], base_qkv[at.w]));
}
