// Values times the mask of dropout: times 1 / (1 − rate) where the random word is at least rate · 2³², otherwise 0. The
// importing file has `dropped` = rate · 2³² and `factor` = 1 / (1 − rate) in its parameters.
fn dropout_keep(words: vec4<u32>, values: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), values * params.factor, words >= vec4(params.dropped));
}
