// Rows of heads side by side in a team of 8 lanes: lane SPAN·side + part of the team holds a part of row `side`.
const TEAM: u32 = 8u;
const SPAN: u32 = select(select(select(8u, 4u, PARTS <= 4u), 2u, PARTS <= 2u), 1u, PARTS == 1u);
const SIDES: u32 = TEAM / SPAN;

// Each side has a share of every row; the sum over sides of row `side`. A side keeps half of the rows and hands on the
// others till one is left. `id` is the lane's in its subgroup.
fn sides_sum(shares: array<vec4<f32>, SIDES>, id: u32) -> vec4<f32> {
    var row = shares;
    for (var stage = 1u; stage < 4u; stage++) {
        let half = SIDES >> stage;
        let upper = (id / SPAN & half) != 0u;
        for (var u = 0u; u < SIDES / 2u; u++) {
            let other = row[min(u + half, SIDES - 1u)];
            let given = subgroupShuffle(select(other, row[u], upper), id ^ (SPAN * half));
            row[u] = select(row[u], select(row[u], other, upper) + given, u < half);
        }
    }
    return row[0];
}

// The sum of a number of each lane of the team, in every lane.
fn team_sum(value: f32, id: u32) -> f32 {
    let pairs = value + subgroupShuffle(value, id ^ 1u);
    let fours = pairs + subgroupShuffle(pairs, id ^ 2u);
    return fours + subgroupShuffle(fours, id ^ 4u);
}
