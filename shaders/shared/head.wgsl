// Parts of four elements of a row of a head. The last part is padded with zeros if D is not a multiple of 4.
const HEAD_DIM: u32 = 8u; // spec 1 6 16 64
const PARTS: u32 = (HEAD_DIM + 3u) / 4u;
const HEAD_ALIGNED: bool = HEAD_DIM % 4u == 0u;

// Indices of the elements 4·part + i of a head, clamped to the head.
fn head_index(part: u32) -> vec4<u32> {
    return min(vec4(4u * part) + vec4(0u, 1u, 2u, 3u), vec4(HEAD_DIM - 1u));
}

// The part with zeros past the end of the head.
fn head_padded(part: u32, value: vec4<f32>) -> vec4<f32> {
    if (HEAD_ALIGNED) { return value; }
    return select(vec4(0.0), value, vec4(4u * part) + vec4(0u, 1u, 2u, 3u) < vec4(HEAD_DIM));
}
