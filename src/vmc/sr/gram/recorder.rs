//! Recorder of per-sample gradients of a chunk, for the layers of one pass.

use std::cell::Cell;

use super::layer_plan::{GradientSource, Placed, SampleExtent};
use super::layers::Layer;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Plan, View};
use crate::kernels::gram::ColumnsTake;
use crate::kernels::linear::{Blocks, Columns, GradientShape, LinearGradient, SampleGradients};

/// Buffers of the units of a pass.
#[derive(Clone, Copy)]
pub(crate) struct Room<'a> {
    pub extent: SampleExtent,
    pub layers: &'a [Layer],
    pub arenas: &'a [Buffer],
    /// Scratch for columns of the gradients of a chunk, or products of its rows.
    pub scratch: &'a View,
}

impl Room<'_> {
    /// Rows `first .. first + rows` of `width` columns in the buffer of a unit.
    pub(super) fn rows(&self, (arena, at): (usize, u64), [first, rows, width]: [u64; 3]) -> Result<View> {
        self.arenas[arena].range("ketformer.gram.panel", at + first * width, rows * width)
    }
}

/// Recorder of the gradients of the samples of one chunk, for one part of log ψ.
pub(crate) struct Recorder<'a> {
    room: Room<'a>,
    units: &'a [Placed],
    first_sample: u32,
    part: u32,
    call: Cell<usize>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(room: Room<'a>, units: &'a [Placed], first_sample: u32, part: u32) -> Self {
        Self { room, units, first_sample, part, call: Cell::new(0) }
    }

    /// Returns the layer of the current call and its units in this pass.
    fn next(&self) -> Result<(&'a Layer, impl Iterator<Item = &'a Placed>)> {
        let call = self.call.replace(self.call.get() + 1);
        let layer = self.room.layers.get(call).ok_or_else(|| {
            let message = "the backward pass has more layers than the layer list";
            Error::new(ErrorKind::Shape, message)
        })?;
        Ok((layer, self.units.iter().filter(move |placed| placed.unit.layer == call)))
    }

    /// First row of the chunk among the rows of all parts.
    fn first_row(&self) -> u64 {
        u64::from(self.part * self.room.extent.part_rows + self.first_sample)
    }
}

/// Number of samples of `rows`, which must have one block per sample.
fn samples_of(rows: &crate::gpu::Rows) -> Result<u64> {
    let message = "gradients of single samples need rows with one block per sample";
    let live = rows.live.as_ref().filter(|live| live.apart);
    live.map(|live| u64::from(live.capacity)).ok_or_else(|| Error::new(ErrorKind::Shape, message))
}

impl SampleGradients for Recorder<'_> {
    fn linear(&self, plan: &mut Plan, layer: &LinearGradient, shape: &GradientShape) -> Result<()> {
        let samples = samples_of(&shape.rows)?;
        let (known, units) = self.next()?;
        let GradientShape { rows, inputs, outputs } = shape;
        let tokens = u64::from(known.tokens);
        for Placed { unit, at } in units {
            match &unit.source {
                GradientSource::Pairs => {
                    let of_chunk = |width: u32, first: u64| [first * tokens, samples * tokens, u64::from(width)];
                    let signal = self.room.rows(at[0], of_chunk(*outputs, self.first_row()))?;
                    ColumnsTake { x: layer.d_y.clone(), y: signal }.record(plan, rows, [0, *outputs, *outputs])?;
                    if self.part == 0 {
                        let input = self.room.rows(at[1], of_chunk(*inputs, self.first_sample.into()))?;
                        ColumnsTake { x: layer.x.clone(), y: input }.record(plan, rows, [0, *inputs, *inputs])?;
                    }
                }
                GradientSource::Panel { outputs: None } => {
                    let width = u64::from(known.width());
                    let part = self.room.rows(at[0], [self.first_row(), samples, width])?;
                    layer.record_rows(plan, shape, &part)?;
                }
                GradientSource::Panel { outputs: Some([first, end]) } => {
                    let some = end - first;
                    let width = u64::from(some) * (u64::from(*inputs) + 1);
                    let part = self.room.rows(at[0], [self.first_row(), samples, width])?;
                    let d_y = self.room.scratch.clone();
                    let take = ColumnsTake { x: layer.d_y.clone(), y: d_y.clone() };
                    take.record(plan, rows, [*first, some, *outputs])?;
                    let shape = GradientShape { outputs: some, ..shape.clone() };
                    LinearGradient { d_y, ..layer.clone() }.record_rows(plan, &shape, &part)?;
                }
            }
        }
        Ok(())
    }

    fn other(&self, plan: &mut Plan, columns: &Columns<'_>, blocks: &Blocks<'_>) -> Result<()> {
        let samples = samples_of(columns.rows)?;
        let (known, units) = self.next()?;
        for Placed { at, .. } in units {
            let panel = self.room.rows(at[0], [self.first_row(), samples, known.width().into()])?;
            blocks(plan, &panel)?;
        }
        Ok(())
    }
}
