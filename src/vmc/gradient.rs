//! From local energies to the gradient of all parameters: steps 5 and 6 of the journey.
//!
//! The gradient is taken over the distinct samples of spans, which are the same however much memory there is, and chunks of
//! a span are whole blocks of the sums over rows. So every sum has the same terms in the same order under any budget.

use super::distinct::Distinct;
use super::estimator::Estimator;
use crate::error::Result;
use crate::gpu::{Buffer, Plan};
use crate::kernels::energy::EnergyWeights;
use crate::kernels::head::{HeadBackward, HeadForward};
use crate::kernels::rows::{RowsSamples, Window};

/// Buffers of the pass with gradient, over the rows of a chunk.
struct GradientRows {
    descriptions: Buffer,
    log_p: Buffer,
    lse: Buffer,
    /// (B), distinct samples first in each span
    d_log_p: Buffer,
}

impl GradientRows {
    fn new(estimator: &Estimator) -> Result<Self> {
        let buffer = |name: &str, elements: u64| estimator.gpu.buffer(&format!("ketformer.{name}"), elements);
        let rows = u64::from(estimator.sizes.training) * u64::from(estimator.patches());
        Ok(Self {
            descriptions: buffer("training.descriptions", 4 * rows)?,
            log_p: buffer("training.log_p", rows)?,
            lse: buffer("training.lse", rows)?,
            d_log_p: buffer("d_log_p", u64::from(estimator.samples))?,
        })
    }
}

/// Records the weights of the distinct samples, the teacher-forced pass over them and its gradient, chunk by chunk.
///
/// # Errors
/// As [`Plan::launch`] and [`crate::gpu::Gpu::buffer`].
pub(super) fn record_gradient(plan: &mut Plan, estimator: &Estimator) -> Result<()> {
    let spans = estimator.spans();
    let rows = GradientRows::new(estimator)?;
    if spans.part != estimator.groups.part {
        plan.scope("sample");
        (0..spans.parts()).try_for_each(|span| estimator.record_distinct(plan, spans, span))?;
    }
    plan.scope("energy");
    let weights = EnergyWeights {
        values: estimator.values.view(),
        unique_of: estimator.groups.unique_of.view(),
        sample_of: spans.sample_of.view(),
        count: spans.count.view(),
        statistics: estimator.statistics.view(),
        d_log_p: rows.d_log_p.view(),
    };
    weights.record(plan, estimator.samples, estimator.groups.part, spans.part)?;
    let chunk = estimator.sizes.training;
    for span in 0..spans.parts() {
        let samples = spans.samples_of(span);
        for first in (0..samples).step_by(chunk as usize) {
            let window = spans.window(&estimator.live, span, first, chunk.min(samples - first))?;
            record_chunk(plan, estimator, &rows, (spans, span), &window)?;
        }
    }
    Ok(())
}

fn record_chunk(
    plan: &mut Plan,
    estimator: &Estimator,
    buffers: &GradientRows,
    (spans, span): (&Distinct, u32),
    window: &Window,
) -> Result<()> {
    let (t, v) = (estimator.patches(), estimator.outcomes());
    let rows = window.items.times(t);
    plan.scope("forward");
    let describe = RowsSamples {
        tokens: spans.of_part(&estimator.tokens, span, t)?,
        sample_of: spans.of_part(&spans.sample_of, span, 1)?,
        rows: buffers.descriptions.view(),
    };
    describe.record(plan, window)?;
    let logits = estimator.network.forward(plan, &buffers.descriptions, &rows)?;
    let head = HeadForward {
        rows: buffers.descriptions.view(),
        logits: logits.clone(),
        log_p: buffers.log_p.view(),
        lse: buffers.lse.view(),
    };
    head.record(plan, &rows, v)?;
    plan.scope("backward");
    let head = HeadBackward {
        rows: buffers.descriptions.view(),
        lse: buffers.lse.view(),
        d_log_p: buffers.d_log_p.view(),
        logits,
    };
    let first_sample = span * spans.part + window.first;
    head.record(plan, &rows, v, t, first_sample)?;
    estimator.network.backward(plan, &buffers.descriptions, &rows, first_sample > 0)
}
