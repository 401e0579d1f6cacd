//! Plots of quantities against the step: `energy.svg`, `loss.svg`, `reward.svg` and the curves of the report.

mod clipping;
mod curve;
mod loss_curve;
mod reward_curve;
mod series;

pub use curve::Curve;
pub use loss_curve::LossCurve;
pub use reward_curve::RewardCurve;
pub(super) use series::{Series, SeriesStyle, Vertical};
