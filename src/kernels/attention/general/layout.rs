//! Layouts of rows of heads in buffers.

use crate::gpu::Param;

/// Where the row of a sample, position and head begins. The elements of a row are adjacent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// (B, T, H, D): the heads of a position are adjacent, as matrix products leave them.
    #[default]
    BatchFirst,
    /// (B, H, T, D): the positions of a head are adjacent.
    HeadFirst,
    /// Any other.
    Strided(Strides),
}

/// A layout in numbers: row (sample, position, head) begins at element offset + sample · `sample` + position · `position` +
/// head · `head`. Strides of buffers that are read may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strides {
    /// First element, from the start of the view.
    pub offset: u32,
    /// Elements from one sample to the next.
    pub sample: u32,
    /// Elements from one position to the next.
    pub position: u32,
    /// Elements from one head to the next.
    pub head: u32,
}

/// Layouts of the buffers of attention. A gradient has the layout of what it is the gradient of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layouts {
    /// Queries and their gradient.
    pub q: Layout,
    /// Keys and their gradient.
    pub k: Layout,
    /// Values and their gradient.
    pub v: Layout,
    /// Outputs and their gradient.
    pub out: Layout,
}

impl From<Layout> for Layouts {
    /// The same layout for all buffers.
    fn from(layout: Layout) -> Self {
        Self { q: layout, k: layout, v: layout, out: layout }
    }
}

impl Layout {
    /// The layout in numbers, for heads of `width` elements.
    pub(crate) fn strides(self, positions: u32, heads: u32, width: u32) -> Strides {
        let sample = positions.saturating_mul(heads).saturating_mul(width);
        match self {
            Self::BatchFirst => Strides { offset: 0, sample, position: heads.saturating_mul(width), head: width },
            Self::HeadFirst => Strides { offset: 0, sample, position: width, head: positions.saturating_mul(width) },
            Self::Strided(strides) => strides,
        }
    }
}

impl Strides {
    /// Index of the first element of a row.
    pub(crate) fn at(&self, sample: u32, position: u32, head: u32) -> usize {
        let steps = [(self.sample, sample), (self.position, position), (self.head, head)];
        self.offset as usize + steps.iter().map(|(step, at)| *step as usize * *at as usize).sum::<usize>()
    }

    /// Parameters with these names: offset, sample, position, head.
    pub(crate) fn params(&self, names: [&'static str; 4]) -> [(&'static str, Param); 4] {
        let [offset, sample, position, head] = names;
        [
            (offset, self.offset.into()),
            (sample, self.sample.into()),
            (position, self.position.into()),
            (head, self.head.into()),
        ]
    }
}
