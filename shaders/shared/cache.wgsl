// Storage type of rows of queries, keys and values: f32, or f16 that is converted to f32 when loaded. Values beyond the
// range of f16 are clamped to ±65504.
const CACHE_BITS: u32 = 32u; // spec 16
alias Cache = f32; // f16 if CACHE_BITS is 16
const CACHE_LARGEST: f32 = 65504.0;

// The value in the storage type.
fn cached(value: f32) -> Cache {
    if (CACHE_BITS == 16u) { return Cache(clamp(value, -CACHE_LARGEST, CACHE_LARGEST)); }
    return Cache(value);
}
