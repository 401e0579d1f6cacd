// Rows and ranges of keys of the tiled suffix kernels. The importing file binds the rows of the suffix batch as vec4s
// `qkv`, those of the base samples as `base_qkv`.
fn load_row(changed: bool, at: u32) -> vec4<f32> {
    if (changed) { return vec4<f32>(qkv[at]); } else { return vec4<f32>(base_qkv[at]); }
}

// A range x ≤ j < y of keys below 2¹⁶, also the empty one of suffix_shared, in one number.
fn packed(range: vec2<u32>) -> u32 {
    return (range.x & 0xffffu) | (range.y << 16u);
}

fn unpacked(range: u32) -> vec2<u32> {
    return vec2(range & 0xffffu, range >> 16u);
}
