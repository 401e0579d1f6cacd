//! Check of the sizes of transformer layers that a model is given.

/// Maximum width of a head that the attention kernels hold in registers.
const MAX_HEAD_WIDTH: usize = 128;
/// Maximum of every size; larger numbers are treated as typos. It also bounds the loops over a width, since some drivers
/// end shaders after 65,535 iterations.
pub(crate) const MAX_SIZE: usize = 1 << 15;

/// Sizes of transformer layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerSettings {
    /// Type with the fields `width`, `heads`, `layers` and `feed_forward`, for messages.
    pub owner: &'static str,
    /// C
    pub width: usize,
    /// H
    pub heads: usize,
    /// K
    pub layers: usize,
    /// F
    pub feed_forward: usize,
}

impl LayerSettings {
    /// Checks the sizes.
    ///
    /// # Errors
    /// A message with the field to change.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { owner, width, heads, layers, feed_forward } = *self;
        let sizes = [("width", width), ("heads", heads), ("layers", layers), ("feed_forward", feed_forward)];
        if let Some((name, value)) = sizes.iter().find(|(_, value)| *value == 0 || *value > MAX_SIZE) {
            return Err(format!("{owner}::{name}={value} is out of range; give a number from 1 to {MAX_SIZE}"));
        }
        if !width.is_multiple_of(4) {
            let near = [width / 4 * 4, width.next_multiple_of(4)].into_iter().filter(|w| *w > 0);
            let near: Vec<String> = near.map(|w| w.to_string()).collect();
            return Err(format!("{owner}::width={width} is not a multiple of 4; use {}", near.join(" or ")));
        }
        if !width.is_multiple_of(heads) {
            let fits: Vec<String> =
                (1..=width.min(64)).filter(|h| width.is_multiple_of(*h)).map(|h| h.to_string()).collect();
            return Err(format!(
                "{owner}::heads={heads} does not divide {owner}::width={width}; use {owner}::heads={}",
                fits.join(", ")
            ));
        }
        if width / heads > MAX_HEAD_WIDTH {
            return Err(format!(
                "heads of width {} are over {MAX_HEAD_WIDTH}; use {owner}::heads={} or more",
                width / heads,
                width.div_ceil(MAX_HEAD_WIDTH)
            ));
        }
        if !feed_forward.is_multiple_of(4) {
            let near = feed_forward.next_multiple_of(4);
            return Err(format!("{owner}::feed_forward={feed_forward} is not a multiple of 4; use {near}"));
        }
        Ok(())
    }
}
