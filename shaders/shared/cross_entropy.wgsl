// Parameters of the kernels of cross-entropy: logits of some tokens of a window of rows.
struct Params { rows: u32, first_token: u32, columns4: u32, tokens: u32, first_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
