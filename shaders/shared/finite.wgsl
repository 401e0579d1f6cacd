// Whether x is finite. Tests the bits, because drivers may fold x != x to false.
fn finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}
