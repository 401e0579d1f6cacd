// A part of the row of queries, keys and values that begins at `start`. The importing file binds the rows twice, as
// `qkv` and as vec4s `qkv4`. Past the end of a head, its last element is repeated.
fn load(start: u32, part: u32) -> vec4<f32> {
    if (HEAD_ALIGNED) { return vec4<f32>(qkv4[start / 4u + part]); }
    let at = vec4(start) + head_index(part);
    return vec4<f32>(vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]));
}

// The same with zeros past the end of a head.
fn load_padded(start: u32, part: u32) -> vec4<f32> { return head_padded(part, load(start, part)); }
