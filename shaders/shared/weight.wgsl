// Storage type of weight matrices: f32, or f16 that is converted to f32 when loaded.
const WEIGHT_BITS: u32 = 32u; // spec 16
alias Weight = f32; // f16 if WEIGHT_BITS is 16
