//! Token embedding.
//!
//! ```text
//! x[r, c] = table[token_r − first_token, c] + position[first + r mod period, c]
//! ```
//!
//! Rows whose token is not one of the table remain unchanged, so that a table that is larger than a binding is launched
//! in parts. Source: GPT-2 (Radford et al. 2019).

use super::check_vectors;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static EMBED: Kernel = kernel!("token", "token_embed");

/// Positions of rows in sequences: row r has position `first` + r mod `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowPositions {
    /// Number of consecutive rows of a sequence, at least 1.
    pub period: u32,
    /// Position of the first row of each sequence.
    pub first: u32,
}

/// Shape of a [`TokenEmbed`].
#[derive(Debug, Clone)]
pub struct TokenEmbedShape {
    /// Rows to embed.
    pub rows: Rows,
    /// Width C, a multiple of 4.
    pub width: u32,
    /// Token of the first row of the table.
    pub first_token: u32,
    /// Number of rows of the table.
    pub tokens: u32,
    /// Positions to add; `None` without a table of positions.
    pub positions: Option<RowPositions>,
}

record! {
    /// Rows of the table by token, plus positions, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct TokenEmbed {
        /// (rows) u32
        pub tokens: View,
        /// (tokens, C)
        pub table: View,
        /// (T, C); not read if the shape has no positions
        pub position: Option<View>,
        /// (rows, C)
        pub x: View,
    }
}

impl TokenEmbed {
    /// Records the embedding.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the width is not a positive multiple of 4, or if there are positions but no table
    /// of them; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &TokenEmbedShape) -> Result<()> {
        check_vectors(EMBED.name, "a width", shape.width)?;
        let (rows, c) = (u64::from(shape.rows.capacity), u64::from(shape.width));
        let (position, positions, RowPositions { period, first }) = match (shape.positions, &self.position) {
            (Some(at), Some(position)) => (position, u64::from(at.first) + rows.min(at.period.into()), at),
            (Some(_), None) => {
                let message = format!("{}: expected `position` for a shape with positions, got None", EMBED.name);
                return Err(Error::new(ErrorKind::Shape, message));
            }
            (None, _) => (&self.table, 1, RowPositions { period: 1, first: 0 }),
        };
        plan.launch(&Launch {
            kernel: &EMBED,
            spec: &[("POSITION", shape.positions.is_some().into())],
            bindings: &bind!(
                self.tokens[rows],
                self.table[u64::from(shape.tokens) * c],
                position[positions * c],
                self.x[rows * c]
            ),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("width4", (shape.width / 4).into()),
                ("first_token", shape.first_token.into()),
                ("tokens", shape.tokens.into()),
                ("period", period.max(1).into()),
                ("first", first.into()),
            ],
            groups: shape.rows.groups(64, c / 4),
            cost: Cost { flops: (rows * c) as f64, bytes: 4.0 * (rows * (2 * c + 1) + positions * c) as f64 },
            shape: format!("({rows}, {c}) of {}", shape.tokens),
        })
    }
}

/// x (rows, C) in f64; rows without a row of the table keep the values of `x`. `table` is (tokens, `width`) and
/// `position` (T, `width`).
pub fn embed_reference(
    tokens: &[u32],
    table: &[f64],
    position: Option<(&[f64], RowPositions)>,
    x: &[f64],
    [width, first_token]: [usize; 2],
) -> Vec<f64> {
    let mut x = x.to_vec();
    for (r, (row, token)) in x.chunks_mut(width).zip(tokens).enumerate() {
        let start = (*token as usize).checked_sub(first_token).map(|token| token * width);
        let Some(of_token) = start.and_then(|start| table.get(start..start + width)) else { continue };
        row.copy_from_slice(of_token);
        if let Some((position, at)) = position {
            let p = at.first as usize + r % at.period as usize;
            row.iter_mut().zip(&position[p * width..]).for_each(|(x, position)| *x += position);
        }
    }
    x
}
