//! Gradient of a token embedding.
//!
//! ```text
//! d_table[v − first_token, c] += Σ_{r: token_r = v} d_x[r, c]
//! ```
//!
//! The host sorts the rows by token ([`token_index`]). Each distinct token has one writer, and sums have a fixed order. On
//! GPUs, a workgroup adds 16 slices of the rows of a token in parallel and then the slices in order, so that a frequent
//! token does not serialize the GPU. On the CPU, slices would only add barriers: 0.17 ms for 768 rows of width 128 and 65
//! tokens on lavapipe with one slice, 1.0 ms with 16.

use super::check_vectors;
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static GRADIENT: Kernel = kernel!("token", "token_gradient");

/// vec4 columns of a workgroup of the shader.
const COLUMNS4: u64 = 16;

/// Number of slices of the rows of a token.
fn slices(gpu: &Gpu) -> u32 {
    if gpu.is_software() { 1 } else { 16 }
}

/// Shape of a [`TokenGradient`].
#[derive(Debug, Clone)]
pub struct TokenGradientShape {
    /// Capacity of the index, the maximum number of rows.
    pub rows: u32,
    /// Width C, a multiple of 4.
    pub width: u32,
    /// Token of the first row of the table.
    pub first_token: u32,
    /// Number of rows of the table.
    pub tokens: u32,
}

record! {
    /// Gradient of the table, added to its values, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct TokenGradient {
        /// (rows, C)
        pub d_x: View,
        /// (3·rows + 2) u32: [`token_index`] of the tokens of the rows
        pub index: View,
        /// (tokens, C)
        pub d_table: View,
    }
}

impl TokenGradient {
    /// Records the gradient.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the width is not a positive multiple of 4; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &TokenGradientShape) -> Result<()> {
        let slices = slices(plan.gpu());
        self.record_slices(plan, shape, slices)
    }

    /// The same with `slices` slices of the rows of a token, 1 or 16.
    pub(super) fn record_slices(&self, plan: &mut Plan, shape: &TokenGradientShape, slices: u32) -> Result<()> {
        check_vectors(GRADIENT.name, "a width", shape.width)?;
        let (rows, c) = (u64::from(shape.rows), u64::from(shape.width));
        // Distinct tokens are in ascending order: those below the end of the table are at most the first `end`.
        let end = u64::from(shape.first_token) + u64::from(shape.tokens);
        plan.launch(&Launch {
            kernel: &GRADIENT,
            spec: &[("SLICES", slices)],
            bindings: &bind!(self.d_x[rows * c], self.index[3 * rows + 2], self.d_table[u64::from(shape.tokens) * c]),
            params: &[
                ("capacity", shape.rows.into()),
                ("width4", (shape.width / 4).into()),
                ("first_token", shape.first_token.into()),
                ("tokens", shape.tokens.into()),
            ],
            groups: Groups::Fixed(rows.min(end) * (c / 4).div_ceil(COLUMNS4)),
            cost: Cost { flops: (rows * c) as f64, bytes: 4.0 * (rows * (c + 3) + 2 * rows.min(end) * c) as f64 },
            shape: format!("({rows}, {c}) to {}", shape.tokens),
        })
    }
}

/// Index of the rows by token for [`TokenGradient`], 3·`capacity` + 2 words:
///
/// | words | contents |
/// |---|---|
/// | 1 | number n of distinct tokens |
/// | `capacity` | the distinct tokens in ascending order |
/// | `capacity` + 1 | entry i of the n + 1: first place of token i in the list of rows |
/// | `capacity` | rows in the order of their tokens, ascending for each token |
///
/// Unused words are 0.
///
/// # Panics
/// If there are more tokens than `capacity`.
pub fn token_index(tokens: &[u32], capacity: usize) -> Vec<u32> {
    assert!(tokens.len() <= capacity, "{} tokens for an index of {capacity}", tokens.len());
    let mut sorted: Vec<(u32, u32)> = tokens.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    let mut index = vec![0; 3 * capacity + 2];
    let (head, order) = index.split_at_mut(2 * capacity + 2);
    let (ids, offsets) = head.split_at_mut(capacity + 1);
    let mut distinct = 0;
    for (place, (token, row)) in sorted.iter().enumerate() {
        if distinct == 0 || ids[distinct] != *token {
            offsets[distinct] = place as u32;
            distinct += 1;
            ids[distinct] = *token;
        }
        order[place] = *row;
    }
    ids[0] = distinct as u32;
    offsets[distinct] = tokens.len() as u32;
    index
}

/// d_table (tokens, `width`) in f64: the values of `d_table` and the sums over the rows of each token.
pub fn gradient_reference(tokens: &[u32], d_x: &[f64], d_table: &[f64], [width, first_token]: [usize; 2]) -> Vec<f64> {
    let mut d_table = d_table.to_vec();
    for (row, token) in d_x.chunks(width).zip(tokens) {
        let start = (*token as usize).checked_sub(first_token).map(|token| token * width);
        let Some(of_token) = start.and_then(|start| d_table.get_mut(start..start + width)) else { continue };
        of_token.iter_mut().zip(row).for_each(|(sum, d_x)| *sum += d_x);
    }
    d_table
}

#[cfg(test)]
mod tests {
    use super::token_index;

    #[test]
    fn an_index_lists_the_rows_of_each_token() {
        let index = token_index(&[7, 2, 7, 9, 2, 7], 8);
        assert_eq!(index[..4], [3, 2, 7, 9]);
        assert_eq!(index[9..13], [0, 2, 5, 6]);
        assert_eq!(index[18..24], [1, 4, 0, 2, 5, 3]);
        assert_eq!(index.len(), 26);
        assert_eq!(token_index(&[], 2), [0; 8]);
        assert_eq!(token_index(&[u32::MAX], 1), [1, u32::MAX, 0, 1, 0]);
    }
}
