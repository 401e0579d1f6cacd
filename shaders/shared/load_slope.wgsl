// A part of a row of d_out, zero past the end of a head. The importing file binds d_out twice, as `d_out` and as vec4s
// `d_out4`.
fn load_slope(start: u32, part: u32) -> vec4<f32> {
    if (HEAD_ALIGNED) { return d_out4[start / 4u + part]; }
    let at = vec4(start) + head_index(part);
    return head_padded(part, vec4(d_out[at.x], d_out[at.y], d_out[at.z], d_out[at.w]));
}
