//! Update G += P Pᵀ of the Gram matrix for a panel P of the Jacobian.

use super::{SampleRows, Triangle, subgroup_tiles, tile_rule};
use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, width_class};
use crate::kernels::{kernel, record};

pub(super) static PRODUCT: Kernel = kernel!("gram", "gram_product");
pub(super) static PRODUCT_SCALAR: Kernel = kernel!("gram", "gram_product_scalar");

record! {
    /// Product of the rows of a panel with each other; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct GramProduct {
        /// (rows, stride)
        pub panel: View,
        /// Matrix that the product is added to.
        pub gram: Triangle,
    }
}

/// Shape of a [`GramProduct`].
#[derive(Debug, Clone)]
pub struct GramShape {
    /// The rows.
    pub samples: SampleRows,
    /// Number of columns used, from the start of each row; at most 65,000.
    pub columns: u32,
    /// Elements from one row to the next.
    pub stride: u32,
    /// Adds to the matrix instead of replacing it.
    pub keep: bool,
}

impl GramShape {
    fn cost(&self) -> Cost {
        let (rows, columns) = (f64::from(self.samples.rows()), f64::from(self.columns));
        let triangle = Triangle::elements(self.samples.rows()) as f64;
        // The lower triangle is half of the products.
        Cost { flops: rows * rows * columns, bytes: 4.0 * (rows * columns + 4.0 * triangle) }
    }
}

pub(crate) static PRODUCT_SELECTOR: VariantSelector<GramShape> = VariantSelector {
    variants: Variants {
        kernel: "gram_product",
        least_lanes: 4,
        all: &[
            Variant::subgroup("samples16x1", 16, 1),
            Variant::subgroup("samples16x2", 16, 2),
            Variant::subgroup("samples16x4", 16, 4),
            Variant::subgroup("samples8x2", 8, 2),
            Variant::subgroup("samples8x4", 8, 4),
            Variant::scalar("scalar", 8),
        ],
    },
    class: |shape| format!("{} columns", width_class(shape.columns)),
    rule: |gpu, shape| tile_rule(gpu, [shape.columns, shape.stride], 16),
    requirement: |_, shape, variant| {
        let whole = shape.columns.is_multiple_of(4) && shape.stride.is_multiple_of(4);
        (variant.strategy != Strategy::Scalar && !whole)
            .then(|| format!("columns in multiples of 4, got {} of {}", shape.columns, shape.stride))
    },
};

impl GramProduct {
    /// Records the product in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &GramShape) -> Result<()> {
        let variant = PRODUCT_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &GramShape, variant: &Variant) -> Result<()> {
        let rows = shape.samples.rows();
        let (kernel, spec, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let (spec, groups) = subgroup_tiles(plan.gpu(), PRODUCT.name, variant, rows)?;
                (&PRODUCT, spec, groups)
            }
            _ => (&PRODUCT_SCALAR, Vec::new(), (rows / 8 * (rows / 4)).div_ceil(64)),
        };
        let triangle = Triangle::elements(rows);
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.panel[u64::from(rows) * u64::from(shape.stride)],
                shape.samples.live[1],
                self.gram.high[triangle],
                self.gram.low[triangle]
            ),
            params: &[
                ("rows", rows.into()),
                ("part_rows", shape.samples.part_rows.into()),
                ("columns", shape.columns.into()),
                ("stride", shape.stride.into()),
                ("keep", u32::from(shape.keep).into()),
                ("zero", 0u32.into()),
            ],
            groups: Groups::Fixed(groups.into()),
            cost: shape.cost(),
            shape: format!("({rows}, {})", shape.columns),
        })
    }
}

/// Reference in f64: element (r, n) of the product, from rows `r` and `n` of `panel`.
pub fn product_reference(panel: &[f32], [r, n]: [usize; 2], columns: usize, stride: usize) -> f64 {
    let [a, b] = [r, n].map(|row| &panel[row * stride..row * stride + columns]);
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
