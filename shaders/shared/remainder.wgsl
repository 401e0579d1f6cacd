// a mod b by floating-point division, because CPU drivers divide integers lane by lane. Exact for a and b below 2²⁴: a
// quotient that is off by one is corrected.
fn remainder(a: u32, b: u32) -> u32 {
    let divisor = i32(b);
    let rest = i32(a) - i32(f32(i32(a)) / f32(divisor)) * divisor;
    return u32(rest + select(select(0, -divisor, rest >= divisor), divisor, rest < 0));
}
