// Scores of pairs of a query i and a key j of a head, s_ij = cap · tanh(scale q_i · k_j / cap) + bias_ij, and which pairs
// count. Query i is at position p = past + i among the keys, or, if each sample has its own number of keys, such that the
// last query is at its last key. It sees the keys p − before to p + after. A bias below −10³⁰ excludes a pair.
//
// The importing file imports tanh, binds `bias` and `key_counts`, and has the members of `params` that are used here.
const LOG2_E: f32 = 1.4426950408889634;
const LOG_2: f32 = 0.6931471805599453;
const SMALLEST: f32 = -1e30;                // start of the maximum, and lse of a query that sees no key
const MASKED: f32 = -3e38;                  // has the weight 0 whatever the maximum is

// Keys of a sample, position of its first query, and index of the bias of a head's first pair.
struct Reach { keys: u32, position: i32, bias: u32 }

fn reach_of(sample: u32, head: u32) -> Reach {
    var reach = Reach(params.keys, i32(params.past), sample * params.bias_sample + head * params.bias_head);
    if (params.counted == 1u) {
        reach.keys = min(key_counts[sample], params.keys);
        reach.position = i32(reach.keys) - i32(params.queries);
    }
    return reach;
}

// The keys that queries `first` to `last` see: the first one and the end.
fn keys_of(reach: Reach, first: u32, last: u32) -> vec2<u32> {
    let start = max(0, reach.position + i32(first) - i32(params.before));
    let end = clamp(reach.position + i32(last) + i32(params.after) + 1, 0, i32(reach.keys));
    return vec2(u32(start), u32(end));
}

// The queries that see keys `first` to `last`: the first one and the end.
fn queries_of(reach: Reach, first: u32, last: u32) -> vec2<u32> {
    let start = max(0, i32(first) - reach.position - i32(params.after));
    let end = clamp(i32(last) - reach.position + i32(params.before) + 1, 0, i32(params.queries));
    return vec2(u32(start), u32(end));
}

// Scores in units of log 2, or MASKED, and their derivatives by q · k.
struct PairScore { score: vec4<f32>, slope: vec4<f32> }

fn pair_score(product: vec4<f32>, reach: Reach, i: vec4<u32>, j: vec4<u32>) -> PairScore {
    var score = product * params.scale;
    var slope = vec4(params.scale);
    if (params.softcap > 0.0) {
        let t = tanh_value4(score / params.softcap);
        score = t * params.softcap;
        slope *= fma(-t, t, vec4(1.0));
    }
    let distance = vec4<i32>(j) - reach.position - vec4<i32>(i);
    var counts = (j < vec4(reach.keys)) & (i < vec4(params.queries));
    counts = counts & (distance >= vec4(-i32(params.before))) & (distance <= vec4(i32(params.after)));
    if (params.biased == 1u) {
        let at = reach.bias + min(i, vec4(params.queries - 1u)) * params.bias_query + min(j, vec4(params.keys - 1u));
        let added = vec4(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
        counts = counts & (added > vec4(SMALLEST));
        score += added;
    }
    return PairScore(select(vec4(MASKED), score * LOG2_E, counts), slope);
}
