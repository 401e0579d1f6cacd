// Rows of a head in the buffers of general attention. The importing file imports strided_rows and has the members of
// `params` that are used here.
fn rows_of_queries(sample: u32, head: u32) -> Rows {
    let start = params.q_offset + sample * params.q_sample + head * params.q_head;
    return Rows(QUERY, start, params.q_position, params.queries, params.width);
}

fn rows_of_keys(sample: u32, kv_head: u32, count: u32) -> Rows {
    let start = params.k_offset + sample * params.k_sample + kv_head * params.k_head;
    return Rows(KEY, start, params.k_position, count, params.width);
}

fn rows_of_values(sample: u32, kv_head: u32, count: u32) -> Rows {
    let start = params.v_offset + sample * params.v_sample + kv_head * params.v_head;
    return Rows(VALUE, start, params.v_position, count, params.value_width);
}
