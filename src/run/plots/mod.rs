//! Plots of quantities against the step: `energy.svg` and the curves of the report.

mod clipping;
mod curve;
mod series;

pub use curve::Curve;
pub(super) use series::{Series, SeriesStyle, Vertical};
