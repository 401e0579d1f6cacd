// Whether move m applies to the configuration whose tokens begin at `start`. The importing file binds `tokens`, `moves`
// and `starts`.
fn connected_holds(start: u32, m: u32) -> bool {
    let move_of = moves[m];
    if (starts[m].y != 1u || move_of.z == 0xffffffffu) { return true; }
    let first = (tokens[start + move_of.x] & move_of.y) != 0u;
    let second = (tokens[start + move_of.z] & move_of.w) != 0u;
    return first != second;
}
