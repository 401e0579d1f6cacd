// Relative positions of patches on a periodic grid. Token t is at X = t / Ty, Y = t mod Ty.
fn relative_place(token: u32, side: vec2<u32>) -> vec2<u32> {
    return vec2(token / side.y, token % side.y);
}

// Position of `to` relative to `origin`: ((X_to − X_origin) mod Tx)·Ty + (Y_to − Y_origin) mod Ty.
fn relative_offset(to: vec2<u32>, origin: vec2<u32>, side: vec2<u32>) -> u32 {
    let forward = to + side - origin;
    let wrapped = select(forward, forward - side, forward >= side);
    return wrapped.x * side.y + wrapped.y;
}

// Token at relative position `offset` from `origin`.
fn relative_token(origin: vec2<u32>, offset: vec2<u32>, side: vec2<u32>) -> u32 {
    let forward = origin + offset;
    let wrapped = select(forward, forward - side, forward >= side);
    return wrapped.x * side.y + wrapped.y;
}
