//! Order in which a recurrent wave function computes the rows of a suffix batch: by position in their sequences.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use crate::kernels::nn::large_patch::LargeTables;
use crate::kernels::nn::recurrent::Link;

/// Rows at one position of their sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderStep {
    /// Index of the first of them in the order.
    pub first: u32,
    pub count: u32,
    /// Sum of the possible [`Link`]s.
    pub sources: u32,
}

/// Order of the rows of an item.
#[derive(Debug)]
pub(crate) struct RowOrder {
    /// (R) of four u32, see [`crate::kernels::nn::recurrent::RecurrentLinks`]
    pub table: Buffer,
    pub steps: Vec<OrderStep>,
}

/// Computes the table and steps of a [`RowOrder`] on the host.
fn host_order(rows: &[[u32; 2]], sequence: u32, samples: u32, conditioned: bool) -> (Vec<[u32; 4]>, Vec<OrderStep>) {
    let conditionings = conditioned.then(|| LargeTables::new(rows, sequence).conditioning_of);
    let entry = |k: usize, [start, position]: [u32; 2]| match (position % sequence, &conditionings) {
        (0, None) => [k as u32, Link::Zero as u32, 0, 0],
        (0, Some(of)) => [k as u32, Link::Conditioning as u32, of[k], 0],
        // Decoding stores its states position by position, (T, B, C).
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
            (0, true) => Link::Conditioning as u32,
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

/// Cache of the most recent order: all passes of one Hamiltonian have the same rows.
#[derive(Debug, Default)]
pub(crate) struct KnownOrder(RefCell<Option<Ordered>>);

impl KnownOrder {
    /// Returns the order of `rows`, (R) of first changed position and position, in sequences of `sequence` positions
    /// that continue from the states of `samples` samples.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn of(
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

    /// Rows (first changed position, position) of moves of patches 0 and 1 of three, with 10 samples.
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
