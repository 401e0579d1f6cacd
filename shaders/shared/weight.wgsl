// How weight matrices are stored: as f32, or as f16 that is widened where it is loaded.
const WEIGHT_BITS: u32 = 32u; // spec 16
alias Weight = f32; // f16 if WEIGHT_BITS is 16
