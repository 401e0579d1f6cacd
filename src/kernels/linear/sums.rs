//! Sums of the blocks of parameter gradients. The blocks of many gradients are added in one launch.
//!
//! Each gradient writes its blocks into a range of a common scratch and appends its sum to a list. The list is launched
//! when the scratch has no room for the next gradient, and at the end of the backward pass. Which sums share a launch
//! has no effect on their order, so that no bit depends on the size of the scratch.

use std::cell::RefCell;

use super::blocks::Parts;
use super::gradient::{GradientShape, LinearGradient};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::kernel;

pub(super) static GRADIENT_SUM: Kernel = kernel!("linear", "linear_gradient_sum");
pub(super) static GRADIENT_SUM_PARTS: Kernel = kernel!("linear", "linear_gradient_sum_parts");

/// Alignment of the blocks of a gradient in the scratch, in floats.
pub(super) const SCRATCH_ALIGNMENT: u64 = 64;
/// Words of a segment in the shaders.
const SEGMENT_WORDS: usize = 7;

/// Destination of parameter gradients.
#[derive(Clone, Copy)]
pub enum GradientInto<'a> {
    /// Gradient over all rows; the blocks are added in order.
    Sum {
        /// Adds to the existing values instead of replacing them.
        keep: bool,
    },
    /// Per-sample gradients. A block of rows is one sample ([`crate::gpu::DynamicRows::apart`]), so the blocks are rows
    /// of the Jacobian. The receiver decides where they are stored.
    Samples(&'a dyn SampleGradients),
}

impl GradientInto<'_> {
    /// Replaces the existing values.
    pub const REPLACE: Self = Self::Sum { keep: false };
}

/// Records the sums over blocks of rows into a view (blocks, weights + columns).
pub type Blocks<'a> = dyn Fn(&mut Plan, &View) -> Result<()> + 'a;

/// Parameters of one gradient computation.
pub struct Columns<'a> {
    /// Rows that the gradient is a sum over.
    pub rows: &'a Rows,
    /// Views of the gradient; `None` for columns that are the gradient of no parameter.
    pub into: [Option<&'a View>; 2],
    /// Number of elements of each view; 0 if there is no second.
    pub elements: [u32; 2],
}

/// Receiver of per-sample gradients, called once per set of parameters in a backward pass.
pub trait SampleGradients {
    /// Receives the gradients of a linear layer: d_yᵀ x and Σ d_y over the rows of a sample.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn linear(&self, plan: &mut Plan, layer: &LinearGradient, shape: &GradientShape) -> Result<()>;

    /// Receives the gradients of other parameters, which `blocks` records.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn other(&self, plan: &mut Plan, columns: &Columns<'_>, blocks: &Blocks<'_>) -> Result<()>;
}

/// Parameter gradients of a backward pass: their destination, the scratch of their blocks, and the sums of blocks that
/// are not launched yet. [`GradientSums::finish`] launches them.
pub struct GradientSums<'a> {
    into: GradientInto<'a>,
    scratch: View,
    pending: RefCell<PendingSums>,
}

/// Sums that are not launched yet.
#[derive(Default)]
struct PendingSums {
    /// Rows of the gradients, which are either all empty or none of them.
    rows: Option<Rows>,
    /// Range of one buffer that contains all destinations.
    gradient: Option<View>,
    segments: Vec<Segment>,
    /// Floats of the scratch that hold blocks.
    used: u64,
}

/// Consecutive columns of a gradient.
struct Segment {
    /// First element in the scratch.
    source: u64,
    /// Number of floats per part.
    stride: u32,
    columns: u32,
    parts: Parts,
    destination: View,
}

impl<'a> GradientSums<'a> {
    /// Gradients into `into`. `scratch` must have room for the blocks of the widest gradient. With room for those of all
    /// gradients in one buffer, at most two launches add them.
    pub fn new(scratch: View, into: GradientInto<'a>) -> Self {
        Self { into, scratch, pending: RefCell::default() }
    }

    /// Destination of the gradients.
    pub fn into(&self) -> GradientInto<'a> {
        self.into
    }

    /// Records the blocks of a gradient, which `blocks` writes in `parts`, and appends their sum to the pending ones.
    /// Per-sample gradients are passed to their receiver instead.
    pub(crate) fn record(
        &self,
        plan: &mut Plan,
        columns: &Columns<'_>,
        parts: Parts,
        blocks: &Blocks<'_>,
    ) -> Result<()> {
        match self.into {
            GradientInto::Sum { keep } => self.record_sum(plan, columns, parts, keep, blocks),
            GradientInto::Samples(samples) => samples.other(plan, columns, blocks),
        }
    }

    pub(super) fn record_sum(
        &self,
        plan: &mut Plan,
        columns: &Columns<'_>,
        parts: Parts,
        keep: bool,
        blocks: &Blocks<'_>,
    ) -> Result<()> {
        let mut pending = self.pending.borrow_mut();
        let stride = columns.elements.iter().sum();
        let floats = u64::from(parts.count) * u64::from(stride);
        let fits = pending.used + floats <= self.scratch.bytes() / 4;
        if !fits || pending.rows.as_ref().is_some_and(|rows| !rows.same_items(columns.rows)) {
            pending.launch(plan, &self.scratch, keep)?;
        }
        let first = pending.used;
        blocks(plan, &self.scratch.range(self.scratch.label(), first, floats)?)?;
        let mut source = first;
        for (into, elements) in columns.into.into_iter().zip(columns.elements) {
            if let Some(destination) = into.filter(|_| elements > 0) {
                if !pending.extend(plan, destination) {
                    pending.launch(plan, &self.scratch, keep)?;
                    pending.extend(plan, destination);
                }
                let destination = destination.clone();
                pending.segments.push(Segment { source, stride, columns: elements, parts, destination });
                pending.rows = Some(columns.rows.clone());
            }
            source += u64::from(elements);
        }
        pending.used = (first + floats).next_multiple_of(SCRATCH_ALIGNMENT);
        Ok(())
    }

    /// Launches the pending sums.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn finish(self, plan: &mut Plan) -> Result<()> {
        match self.into {
            GradientInto::Sum { keep } => self.pending.into_inner().launch(plan, &self.scratch, keep),
            GradientInto::Samples(_) => Ok(()),
        }
    }
}

impl PendingSums {
    /// Extends the range of destinations to `destination`, unless it is in another buffer or exceeds a binding.
    fn extend(&mut self, plan: &Plan, destination: &View) -> bool {
        let limit = plan.gpu().limits().max_storage_buffer_binding_size;
        let extended = match &self.gradient {
            None => Some(destination.clone()),
            Some(gradient) => gradient.hull(destination).filter(|hull| hull.bytes() <= limit),
        };
        let is_extended = extended.is_some();
        self.gradient = extended.or(self.gradient.take());
        is_extended
    }

    /// Launches all sums and empties the list.
    fn launch(&mut self, plan: &mut Plan, scratch: &View, keep: bool) -> Result<()> {
        let Self { rows: Some(rows), gradient: Some(gradient), segments, .. } = std::mem::take(self) else {
            return Ok(());
        };
        let (divided, whole): (Vec<_>, Vec<_>) = segments.into_iter().partition(|segment| segment.parts.per_block > 1);
        let sum = GradientSum { part: scratch, gradient: &gradient };
        for (kernel, group_columns, segments) in [(&GRADIENT_SUM, 64, whole), (&GRADIENT_SUM_PARTS, 32, divided)] {
            if !segments.is_empty() {
                sum.launch(plan, (kernel, group_columns), &segments, &rows, keep)?;
            }
        }
        Ok(())
    }
}

/// Buffers of a launch of sums, except the table of its segments.
struct GradientSum<'a> {
    part: &'a View,
    /// Contains the destinations of all segments.
    gradient: &'a View,
}

impl GradientSum<'_> {
    fn launch(
        &self,
        plan: &mut Plan,
        (kernel, group_columns): (&'static Kernel, u32),
        segments: &[Segment],
        rows: &Rows,
        keep: bool,
    ) -> Result<()> {
        let mut words = Vec::with_capacity(segments.len() * SEGMENT_WORDS);
        let (mut groups, mut end, mut columns, mut added) = (0, 0, 0, 0);
        for Segment { source, stride, columns: some, parts, destination } in segments {
            let first = (destination.offset() - self.gradient.offset()) / 4;
            words.extend([groups, *source as u32, *stride, *some, parts.count, parts.per_block, first as u32]);
            groups += some.div_ceil(group_columns);
            let last_part = source + u64::from(parts.count.saturating_sub(1)) * u64::from(*stride);
            end = end.max(last_part + u64::from(*some));
            columns += u64::from(*some);
            added += u64::from(parts.count) * u64::from(*some);
        }
        let (count, elements) = (segments.len() as u32, self.gradient.bytes() / 4);
        let segments = plan.table("ketformer.segments", words)?;
        plan.launch(&Launch {
            kernel,
            spec: &[],
            bindings: &bind!(
                self.part[end],
                segments[u64::from(count) * SEGMENT_WORDS as u64],
                self.gradient[elements]
            ),
            params: &[("segments", count.into()), ("keep", u32::from(keep).into())],
            groups: rows.groups_of_all(groups.into()),
            cost: Cost { flops: added as f64, bytes: 4.0 * (added + columns) as f64 },
            shape: format!("({count} segments, {columns} columns)"),
        })
    }
}
