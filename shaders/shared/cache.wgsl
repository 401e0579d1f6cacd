// How rows of queries, keys and values are stored: as f32, or as f16 that is widened where it is loaded. What f16 cannot
// hold is stored as the largest number that it can.
const CACHE_BITS: u32 = 32u; // spec 16
alias Cache = f32; // f16 if CACHE_BITS is 16
const CACHE_LARGEST: f32 = 65504.0;
