//! Rotary position embedding of queries and keys (Su et al., arXiv:2104.09864, section 3.2.2), in place.
//!
//! ```text
//! (a, b) ← (a cos φ − b sin φ, b cos φ + a sin φ)      a, b: channels i and i + D/2 of a head      φ = p θ^(−2i/D)
//! ```
//!
//! Row r is at position p = first + r mod period and is stored at row r·stride + offset of the buffer. The reverse
//! rotation, by −φ, is the transposed one: the backward pass applies it to the gradients of queries and keys.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static ROTARY: Kernel = kernel!("nn", "rotary");

/// Base θ of the angles, as in the paper.
pub const BASE: f64 = 10_000.0;

record! {
    /// Rotation of queries and keys; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct Rotary {
        /// (rows, 3C): the thirds of queries and keys are rotated
        pub qkv: View,
        /// (T, D): D/2 cosines, then D/2 sines of each position, as [`rotary_table`] returns
        pub table: View,
    }
}

/// Shape of a [`Rotary`].
#[derive(Debug, Clone)]
pub struct RotaryShape {
    /// Rows to rotate.
    pub rows: Rows,
    /// H
    pub heads: u32,
    /// D; even.
    pub head_width: u32,
    /// Row r is at position `first` + r mod `period`.
    pub period: u32,
    /// See `period`.
    pub first: u32,
    /// Row r is stored at row r·stride + offset of the buffer.
    pub stride: u32,
    /// See `stride`.
    pub offset: u32,
    /// Whether to rotate by the negative angles.
    pub reverse: bool,
}

impl Rotary {
    /// Records the kernel.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the head width is odd or a size is 0, and as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &RotaryShape) -> Result<()> {
        let RotaryShape { heads, head_width, period, first, stride, offset, .. } = *shape;
        if heads == 0 || head_width == 0 || !head_width.is_multiple_of(2) || period == 0 {
            let message = format!(
                "{}: expected heads ≥ 1 of an even width and a period ≥ 1, got {heads} of width {head_width} and period \
                 {period}",
                ROTARY.name
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let width = u64::from(heads) * u64::from(head_width);
        let rows = u64::from(shape.rows.capacity);
        let buffer_rows = rows.saturating_sub(1) * u64::from(stride) + u64::from(offset) + 1;
        let positions = u64::from(first) + u64::from(period).min(rows);
        plan.launch(&Launch {
            kernel: &ROTARY,
            spec: &[],
            bindings: &bind!(self.qkv[buffer_rows * 3 * width], self.table[positions * u64::from(head_width)]),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("heads", heads.into()),
                ("half", (head_width / 2).into()),
                ("period", period.into()),
                ("first", first.into()),
                ("stride", stride.into()),
                ("offset", offset.into()),
                ("direction", if shape.reverse { -1.0f32 } else { 1.0 }.into()),
            ],
            // Two thirds of C/2 pairs.
            groups: shape.rows.times(width as u32).groups(64, 1),
            cost: Cost { flops: 6.0 * (rows * width) as f64, bytes: 16.0 * (rows * width) as f64 },
            shape: format!("({rows}, {heads}, {head_width})"),
        })
    }
}

/// Table (positions, D) of the angles p θ^(−2i/D): D/2 cosines, then D/2 sines of each position.
pub fn rotary_table(positions: usize, head_width: usize) -> Vec<f32> {
    let angle = |p: usize, i: usize| p as f64 * BASE.powf(-2.0 * i as f64 / head_width as f64);
    let of_position = |p: usize| {
        let cosines = (0..head_width / 2).map(move |i| angle(p, i).cos() as f32);
        cosines.chain((0..head_width / 2).map(move |i| angle(p, i).sin() as f32))
    };
    (0..positions).flat_map(of_position).collect()
}

/// Rotates the rows of `shape` in `qkv` in f64.
pub fn rotary_reference(qkv: &mut [f64], table: &[f32], shape: &RotaryShape) {
    let (heads, half) = (shape.heads as usize, shape.head_width as usize / 2);
    for r in 0..shape.rows.capacity {
        let angles = &table[(shape.first + r % shape.period) as usize * 2 * half..][..2 * half];
        let at = (r * shape.stride + shape.offset) as usize * 6 * heads * half;
        // Queries and keys are 2H heads in a row.
        for head in qkv[at..][..4 * heads * half].chunks_mut(2 * half) {
            for i in 0..half {
                let (cosine, sine) = (f64::from(angles[i]), f64::from(angles[half + i]));
                let sine = if shape.reverse { -sine } else { sine };
                let (a, b) = (head[i], head[half + i]);
                head[i] = a * cosine - b * sine;
                head[half + i] = b * cosine + a * sine;
            }
        }
    }
}
