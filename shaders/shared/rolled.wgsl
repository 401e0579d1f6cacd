// Parts of a head, as the bound of loops. Software drivers take minutes to compile such loops unrolled for wide heads, which a
// bound in memory prevents; on a GPU arrays need constant indices to stay in registers. The importing file has params.parts.
const ROLLED: u32 = 0u; // spec 1

fn parts_of_head() -> u32 {
    return select(PARTS, params.parts, ROLLED == 1u);
}
