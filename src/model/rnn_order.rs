//! In which order a recurrent wave function computes the packed rows of moves: place after place of their sequences.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use crate::kernels::nested::LargeTables;
use crate::kernels::recurrent::Link;

/// The rows of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderStep {
    /// First of them in the order.
    pub first: u32,
    pub count: u32,
    /// Sum of the [`Link`]s that may occur.
    pub sources: u32,
}

/// The order of the rows of an item.
#[derive(Debug)]
pub(super) struct RowOrder {
    /// (R) of four u32, see [`crate::kernels::recurrent::RecurrentLinks`]
    pub table: Buffer,
    pub steps: Vec<OrderStep>,
}

/// The same on the host.
fn host_order(rows: &[[u32; 2]], sequence: u32, samples: u32, conditioned: bool) -> (Vec<[u32; 4]>, Vec<OrderStep>) {
    let conditions = conditioned.then(|| LargeTables::new(rows, sequence).condition_of);
    let entry = |k: usize, [start, position]: [u32; 2]| match (position % sequence, &conditions) {
        (0, None) => [k as u32, Link::Zero as u32, 0, 0],
        (0, Some(of)) => [k as u32, Link::Condition as u32, of[k], 0],
        // States that decoding left stand place after place, (T, B, C).
        _ if start == position => [k as u32, Link::Base as u32, (position - 1) * samples, 1],
        _ => [k as u32, Link::Item as u32, k as u32 - 1, 1],
    };
    let (mut table, mut steps) = (Vec::new(), Vec::new());
    for place in 0..sequence {
        let first = table.len() as u32;
        let here = rows.iter().enumerate().filter(|(_, [_, position])| position % sequence == place);
        table.extend(here.map(|(k, row)| entry(k, *row)));
        let sources = match (place, conditioned) {
            (0, false) => 0,
            (0, true) => Link::Condition as u32,
            _ => Link::Item as u32 | Link::Base as u32,
        };
        let count = table.len() as u32 - first;
        if count > 0 {
            steps.push(OrderStep { first, count, sources });
        }
    }
    (table, steps)
}

/// Rows and their order.
type Ordered = (Arc<[[u32; 2]]>, Arc<RowOrder>);

/// The order of the rows that were asked for last: those of one Hamiltonian, pass after pass.
#[derive(Debug, Default)]
pub(super) struct KnownOrder(RefCell<Option<Ordered>>);

impl KnownOrder {
    /// The order of `rows`, (R) of first changed position and position, in sequences of `sequence` positions, with the
    /// states of `samples` samples before them.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn of(
        &self,
        gpu: &Gpu,
        rows: &Arc<[[u32; 2]]>,
        [sequence, samples]: [u32; 2],
        conditioned: bool,
    ) -> Result<Arc<RowOrder>> {
        if let Some((known, order)) = &*self.0.borrow()
            && Arc::ptr_eq(known, rows)
        {
            return Ok(order.clone());
        }
        let (table, steps) = host_order(rows, sequence, samples, conditioned);
        let order = Arc::new(RowOrder { table: gpu.upload("ketformer.moves.order", &table)?, steps });
        *self.0.borrow_mut() = Some((rows.clone(), order.clone()));
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves of patches 0 and 1 of three, with 10 samples: rows (start, position).
    const ROWS: [[u32; 2]; 3] = [[1, 1], [1, 2], [2, 2]];

    #[test]
    fn rows_are_sorted_by_place_and_begin_with_the_samples_state() {
        let (table, steps) = host_order(&ROWS, 3, 10, false);
        assert_eq!(table, [[0, 2, 0, 1], [1, 1, 0, 1], [2, 2, 10, 1]]);
        let step = |first, count| OrderStep { first, count, sources: 3 };
        assert_eq!(steps, [step(0, 1), step(1, 2)]);
    }

    #[test]
    fn sequences_begin_with_their_condition() {
        let rows = [[1, 1], [1, 2], [1, 3], [2, 2], [2, 3], [3, 3]];
        let (table, steps) = host_order(&rows, 2, 10, true);
        assert_eq!(table[..2], [[1, 4, 0, 0], [3, 4, 1, 0]]);
        assert_eq!(table[2..], [[0, 2, 0, 1], [2, 1, 1, 1], [4, 1, 3, 1], [5, 2, 20, 1]]);
        assert_eq!(
            steps.iter().map(|step| (step.first, step.count, step.sources)).collect::<Vec<_>>(),
            [(0, 2, 4), (2, 4, 3)]
        );
    }
}
