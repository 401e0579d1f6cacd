// Rows of a head distributed over a cluster of 8 lanes: lane SPAN·side + part holds a part of row `side`.
const CLUSTER: u32 = 8u;
const SPAN: u32 = select(select(select(8u, 4u, PARTS <= 4u), 2u, PARTS <= 2u), 1u, PARTS == 1u);
const SIDES: u32 = CLUSTER / SPAN;

// Sum of row `side` over the sides; `shares` are the contributions of this side to all rows. In each stage a side keeps
// half of its rows and exchanges the others, until one is left. `id` is the index of the lane in its subgroup.
fn sides_sum(shares: array<vec4<f32>, SIDES>, id: u32) -> vec4<f32> {
    var row = shares;
    for (var stage = 1u; stage < 4u; stage++) {
        let half = SIDES >> stage;
        let upper = ((id / SPAN) & half) != 0u;
        for (var u = 0u; u < SIDES / 2u; u++) {
            let other = row[min(u + half, SIDES - 1u)];
            let given = subgroupShuffle(select(other, row[u], upper), id ^ (SPAN * half));
            row[u] = select(row[u], select(row[u], other, upper) + given, u < half);
        }
    }
    return row[0];
}

// Sum of a value over the lanes of the cluster, returned in every lane.
fn cluster_sum(value: f32, id: u32) -> f32 {
    let pairs = value + subgroupShuffle(value, id ^ 1u);
    let fours = pairs + subgroupShuffle(pairs, id ^ 2u);
    return fours + subgroupShuffle(fours, id ^ 4u);
}
