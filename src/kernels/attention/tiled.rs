//! Attention in workgroup memory, for GPUs: shapes that use it and sizes of its workgroups.
//!
//! A workgroup loads keys and values along the contiguous axis, and a lane uses each vector that it reads from
//! workgroup memory in 8 or more multiply-adds where registers allow it. The queries per lane and the tiles follow from
//! the registers that compilers of GPUs report: those of Intel run out first, with more than 32 floats of queries per
//! lane. No GPU has been measured.

use crate::gpu::Param;

/// Lanes of a workgroup.
pub(super) const LANES: u32 = 64;

/// Number of floats of a lane's queries up to which no compiler runs out of registers.
const QUERY_FLOATS: u32 = 32;

/// Maximum number of vectors of four floats, keys, values and padding, that one key of all pairs takes in workgroup
/// memory. A chunk has at least 8 keys. More than 10 KiB in all leave fewer than 8 workgroups per SIMD of AMD's RDNA.
const KEY_VECTORS: u32 = 79;

/// The same for suffixes. A window has at least 15 keys.
const WINDOW_VECTORS: u32 = 40;

/// Tile of the variant for wide heads and long sequences.
pub(super) const WIDE: u32 = 8;

/// Tile of the variant for one query.
pub(super) const DECODE: u32 = 16;

/// Lanes of a workgroup of the variant for one query.
pub(super) const DECODE_LANES: u32 = 128;

/// Lanes that share the keys of one query: enough for all keys at 8 keys per lane, at most a workgroup.
pub(super) fn decode_lanes(t: u32, d: u32) -> u32 {
    let parts = d / 4;
    (t.saturating_mul(parts) / 8).clamp(parts.max(8), DECODE_LANES).next_power_of_two()
}

/// Lanes that share the queries of the forward pass: the least number for which two queries fit into the registers of a
/// lane, at most 4; 1 if there is none.
pub(super) fn split(d: u32) -> u32 {
    let fits = |lanes: &u32| d.is_multiple_of(4 * lanes) && 2 * d / lanes <= QUERY_FLOATS;
    (1..=4).find(fits).unwrap_or(1)
}

/// Default tile of the forward pass: the one for one query; the one for wide heads if the queries fill most of its
/// tiles and the heads do not fit into the registers of a lane, or if they do not fit into those of several; otherwise
/// one or two queries per lane.
pub(super) fn forward(d: u32, count: u32) -> u32 {
    let tile = wide_queries(wide_columns(d));
    let fills = 4 * u64::from(count) >= 3 * u64::from(count).next_multiple_of(tile.into());
    match count {
        1 => DECODE,
        _ if d / split(d) > QUERY_FLOATS || 2 * d > QUERY_FLOATS && fills => WIDE,
        _ => queries(d / split(d), count),
    }
}

/// Parts of four columns of the output that an invocation for wide heads can have, as in the source.
pub(super) fn wide_columns(d: u32) -> u32 {
    (d / 4).next_power_of_two().max(8)
}

/// Queries of a workgroup for wide heads, as in the source.
pub(super) fn wide_queries(columns: u32) -> u32 {
    if columns == 32 { 32 } else { 64 }
}

/// Loop bounds of the kernels for wide heads.
pub(super) fn wide_params(d: u32) -> [(&'static str, Param); 2] {
    [("parts", (d / 4).into()), ("value_keys", (256 / wide_columns(d)).into())]
}

/// Default tile of suffixes.
pub(super) fn suffix(d: u32, count: u32) -> u32 {
    if d > QUERY_FLOATS { WIDE } else { queries(d, count) }
}

/// Requirement of kernels that load vectors of four floats that the head width does not meet.
pub(super) fn aligned(d: u32) -> Option<String> {
    (!d.is_multiple_of(4)).then(|| format!("heads whose width is a multiple of 4, got {d}"))
}

/// Requirement of `queries` per lane that heads of width `d`, shared by `split` lanes, do not meet.
pub(super) fn requirement(queries: u32, d: u32, split: u32) -> Option<String> {
    let most = QUERY_FLOATS / queries;
    let fits = d.is_multiple_of(4) && d / split <= most;
    (!fits).then(|| format!("heads whose width is a multiple of 4, at most {most} per lane, got {d}"))
}

/// Queries per lane with `d` floats each, one or two. Two use every value from workgroup memory twice, without which
/// its bandwidth limits the kernel; more gain nothing.
pub(super) fn queries(d: u32, count: u32) -> u32 {
    (QUERY_FLOATS / d).clamp(1, 2).min(count)
}

/// Number of pairs of a sample and a head in a workgroup of which each needs `lanes` lanes.
pub(super) fn pairs(lanes: u32, d: u32) -> u32 {
    (LANES / lanes.min(LANES)).min(KEY_VECTORS / (d / 2 + 1)).max(1)
}

/// The same for suffixes, whose windows of keys overlap.
pub(super) fn suffix_pairs(lanes: u32, heads: u32, d: u32) -> u32 {
    (LANES / lanes.min(LANES)).min(heads).min(WINDOW_VECTORS / (d / 2 + 1)).max(1)
}

/// Keys in workgroup memory at a time, as in the source.
pub(super) fn chunk(pairs: u32, d: u32) -> u32 {
    8 * (16 / (pairs * d / 4)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_fits_into_the_memory_that_every_adapter_has_and_its_keys_into_the_lanes() {
        let widths = (4..=128).step_by(4).filter(|d| d / split(*d) <= QUERY_FLOATS);
        for (d, queries) in widths.flat_map(|d| (1..=2 * LANES).map(move |queries| (d, queries))) {
            let lanes = queries * split(d);
            let pairs = pairs(lanes, d);
            assert!(pairs * d / 4 <= LANES && pairs * lanes.min(LANES) <= LANES, "{queries} {d}");
            let exchanged = if split(d) > 1 { 2 * 8 * LANES } else { 0 };
            assert!(4 * (4 * chunk(pairs, d) * pairs * (d / 2 + 1) + exchanged) <= 16 << 10, "{queries} {d}");
        }
        for (d, lanes) in (4..=32).step_by(4).flat_map(|d| (1..=2 * LANES).map(move |lanes| (d, lanes))) {
            let pairs = suffix_pairs(lanes, 64, d);
            assert!(16 * 15 * pairs * (d / 2 + 1) <= 10 << 10 && pairs * d / 4 <= LANES, "{lanes} {d}");
        }
    }

    #[test]
    fn lanes_that_share_keys_divide_a_workgroup() {
        for d in (4..=128).step_by(4) {
            for t in [1, 2, 16, 17, 64, 100, 256, 1 << 14, u32::MAX] {
                let lanes = decode_lanes(t, d);
                assert!(DECODE_LANES.is_multiple_of(lanes) && lanes >= d / 4, "{t} {d}");
            }
        }
    }
}
