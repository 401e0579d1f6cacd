// Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw, SC'11): the same counter and key give the same
// four words on every device, in any order. Seven rounds pass BigCrush as well, without the margin of safety.

// High and low words of a·b.
fn philox_multiply(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let carry = a0 * b1 + (middle & 0xffffu);
    return vec2(a1 * b1 + (middle >> 16u) + (carry >> 16u), a * b);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> { return philox_rounds(counter, key, 10u); }

fn philox_rounds(counter: vec4<u32>, key: vec2<u32>, rounds: u32) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < rounds; round++) {
        let p = philox_multiply(0xd2511f53u, c.x);
        let q = philox_multiply(0xcd9e8d57u, c.z);
        c = vec4(q.x ^ c.y ^ k.x, q.y, p.x ^ c.w ^ k.y, p.y);
        k += vec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// Uniform number in [0, 1) with 24 bits.
fn philox_uniform(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}
