// Embedding of a patch, hidden layer of the heads, and drawing of a patch, for the rows of transformer_decode.
const START: u32 = 0u; // spec 1

// The embedded rows of patch t.
fn embed(t: u32) {
    if (lane < OUTPUTS) {
        let sites = params.sites_per_patch;
        let bias = params.embedding + WIDTH4 * sites;
        let bits = select(drawn_token[own_row], 0u, t == 0u);
        var sum = packed[bias + own_column];
        for (var j = 0u; j < sites; j++) {
            var weight: vec4<f32>;
            for (var e = 0u; e < 4u; e++) {
                let at = (4u * own_column + e) * sites + j;
                weight[e] = packed[params.embedding + at / 4u][at % 4u];
            }
            sum += select(vec4(0.0), weight, ((bits >> j) & 1u) == 1u);
        }
        var value = tanh_value4(sum);
        if (START == 1u) { value = select(value, packed[bias + WIDTH4 + own_column], t == 0u); }
        rows[X + lane] = value + packed[params.position + t * WIDTH4 + own_column];
    }
    workgroupBarrier();
}

// Hidden layer of a head from the rows at `source`, into ATTENDED.
fn head_hidden(source: u32, weight: u32) {
    if (lane < OUTPUTS) {
        rows[ATTENDED + lane] = max(linear(source + own_row * WIDTH4, weight, WIDTH4, own_column), vec4(0.0));
    }
    workgroupBarrier();
}

fn draw_logit(at: u32) -> f32 { return scratch[at / 4u][at % 4u]; }

// Patch t of each sample from the logits in `scratch`.
fn draw_patch(t: u32) {
    if (lane < ROWS) {
        let sample = sample_of(lane);
        let at = sample * params.patches + t;
        let start = lane * ((params.outcomes + 3u) / 4u) * 4u;
        let before = select(occupied[lane], 0u, t == 0u);
        let sector = Sector(params.excitations, params.sites_per_patch, params.patches);
        let room = sector_room(sector, t, before);
        let word = philox(vec4(params.first_sample + sample, t, step[2], 0u), vec2(step[0], step[1])).x;
        let drawn = draw(start, params.outcomes, room, word);
        var token = drawn.token;
        if (params.given == 1u) { token = min(tokens[at], params.outcomes - 1u); }
        if (is_stored(lane)) {
            if (params.given == 0u) { tokens[at] = token; }
            log_p[at] = draw_log_p(drawn, start, token, room);
        }
        drawn_token[lane] = token;
        occupied[lane] = before + countOneBits(token);
    }
    workgroupBarrier();
}
