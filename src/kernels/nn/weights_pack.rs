//! Parameters in the order in which [`TransformerDecode`](super::transformer_decode::TransformerDecode) reads them.
//!
//! A matrix (O, K) is stored as vec4s of four inputs of one output, such that those of outputs 4o for all o are
//! consecutive: invocations with consecutive groups of four outputs then read consecutive addresses. The copy takes one
//! launch per step.

use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static PACK: Kernel = kernel!("nn", "weights_pack");

/// Kinds of segments that are copied as they are; the kind of a matrix is its number of inputs, a multiple of 4.
const COPY: u32 = 0;
const TABLE: u32 = 1;

/// Layout of packed parameters, built segment by segment. Positions are in vec4s.
#[derive(Debug, Clone, Default)]
pub struct PackedLayout {
    segments: Vec<[u32; 4]>,
    end: u32,
}

impl PackedLayout {
    fn push(&mut self, [first_element, kind, count]: [u32; 3], vectors: u32) -> u32 {
        let first = self.end;
        self.segments.push([first, first_element, kind, count]);
        self.end += vectors;
        first
    }

    /// Appends the matrix (`outputs`, `inputs`) whose first element is element `first`, a multiple of 4, of the
    /// parameters. Returns its position.
    pub fn matrix(&mut self, first: u32, outputs: u32, inputs: u32) -> u32 {
        debug_assert!(inputs.is_multiple_of(4) && inputs > TABLE && first.is_multiple_of(4));
        self.push([first, inputs, outputs], outputs.div_ceil(4) * inputs)
    }

    /// Appends `count` elements from element `first` of the parameters. Returns their position.
    pub fn copy(&mut self, first: u32, count: u32) -> u32 {
        self.push([first, COPY, count], count.div_ceil(4))
    }

    /// Appends the first `count` elements of the table. Returns their position.
    pub fn table(&mut self, count: u32) -> u32 {
        self.push([0, TABLE, count], count.div_ceil(4))
    }

    /// Position after the last segment.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Segments, as the kernel reads them: position, first element, kind, number of outputs or elements.
    pub fn segments(&self) -> &[[u32; 4]] {
        &self.segments
    }
}

record! {
    /// Copy of parameters into a [`PackedLayout`].
    #[derive(Debug, Clone)]
    pub struct WeightsPack {
        /// [`PackedLayout::segments`]
        pub segments: View,
        /// Parameters.
        pub values: View,
        /// Parameters from which matrices are read: `values`, or their copy in f16.
        pub matrices: View,
        /// Table that is not part of the parameters; otherwise any view.
        pub table: View,
        /// Four floats for each position of the layout.
        pub packed: View,
    }
}

impl WeightsPack {
    /// Records the copy.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, layout: &PackedLayout) -> Result<()> {
        let segments = layout.segments.len() as u64;
        let needed = |kinds: fn(u32) -> bool, elements: fn(&[u32; 4]) -> u64| {
            let of_kind = layout.segments.iter().filter(|segment| kinds(segment[2]));
            of_kind.map(|segment| u64::from(segment[1]) + elements(segment)).max().unwrap_or(4)
        };
        let count = |segment: &[u32; 4]| u64::from(segment[3]);
        let values = needed(|kind| kind == COPY, count);
        let table = needed(|kind| kind == TABLE, count);
        let matrices = needed(|kind| kind > TABLE, |segment| u64::from(segment[2]) * u64::from(segment[3]));
        plan.launch(&Launch {
            kernel: &PACK,
            spec: &[("WEIGHT_BITS", self.matrices.storage().bits())],
            bindings: &bind!(
                self.segments[4 * segments],
                self.values[values],
                self.matrices[matrices],
                self.table[table],
                self.packed[4 * u64::from(layout.end)]
            ),
            params: &[("count", layout.end.into()), ("segments", (segments as u32).into())],
            groups: Groups::Fixed(u64::from(layout.end).div_ceil(64)),
            cost: Cost { flops: 0.0, bytes: 32.0 * f64::from(layout.end) },
            shape: format!("({}) in {segments}", 4 * layout.end),
        })
    }
}

/// Packed parameters in the order of `layout`.
pub fn pack_reference(layout: &PackedLayout, values: &[f32], matrices: &[f32], table: &[f32]) -> Vec<f32> {
    let mut packed = Vec::with_capacity(4 * layout.end as usize);
    for [_, first, kind, count] in layout.segments.iter().map(|segment| segment.map(|word| word as usize)) {
        match kind as u32 {
            COPY | TABLE => {
                let source = if kind as u32 == TABLE { table } else { values };
                packed.extend((0..count.next_multiple_of(4)).map(|e| source[first + e.min(count - 1)]));
            }
            _ => {
                let vectors = count.div_ceil(4);
                for (k, i, o) in
                    (0..kind / 4).flat_map(|k| (0..4).flat_map(move |i| (0..vectors).map(move |o| (k, i, o))))
                {
                    let start = first + (4 * o + i).min(count - 1) * kind + 4 * k;
                    packed.extend(&matrices[start..start + 4]);
                }
            }
        }
    }
    packed
}
