// States of linear attention: a matrix (D, D) and a vector (D), padded with zeros to whole vec4s. The states of a
// sample are stored by chunk and head. The importing file binds `states`.
const STATE: u32 = (4u * PARTS + 1u) * PARTS; // vec4s per state

// Rows 4·rows to 4·rows + 3 of the matrix of a state at the given part, as columns.
fn state_block(start: u32, rows: u32, part: u32) -> mat4x4<f32> {
    let at = start + 4u * rows * PARTS + part;
    return mat4x4(states[at], states[at + PARTS], states[at + 2u * PARTS], states[at + 3u * PARTS]);
}

// The given part of the vector of a state.
fn state_vector(start: u32, part: u32) -> vec4<f32> {
    return states[start + 4u * PARTS * PARTS + part];
}
