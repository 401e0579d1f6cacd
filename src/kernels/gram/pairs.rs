//! Gram matrix of a linear layer from its inputs and the gradients of its outputs.

use super::{SampleRows, Triangle, subgroup_tiles, tile_rule};
use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, width_class};
use crate::kernels::{kernel, record};

pub(super) static PAIRS: Kernel = kernel!("gram", "gram_pairs");
pub(super) static PAIRS_SCALAR: Kernel = kernel!("gram", "gram_pairs_scalar");

record! {
    /// Products of the gradients of a linear layer; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct GramPairs {
        /// (rows·T, outputs): δ, the gradients of the layer's outputs
        pub signal: View,
        /// (part_rows·T, inputs): x
        pub input: View,
        /// Matrix that the products are added to.
        pub gram: Triangle,
    }
}

/// Shape of a [`GramPairs`].
#[derive(Debug, Clone)]
pub struct PairsShape {
    /// The samples.
    pub samples: SampleRows,
    /// Width of δ.
    pub outputs: u32,
    /// Width of x.
    pub inputs: u32,
    /// T, rows of a sample.
    pub tokens: u32,
    /// Whether the layer has a bias.
    pub bias: bool,
    /// Adds to the matrix instead of replacing it.
    pub keep: bool,
}

/// Maximum number of inner products times their widths that an invocation adds per launch; software drivers end longer
/// loops. The grouping of the sums is part of the definition of the result, so it does not depend on the adapter.
const LAUNCH: u32 = 1 << 15;

impl PairsShape {
    /// Number of multiply-adds per pair of samples.
    pub fn products(&self) -> u64 {
        let tokens = u64::from(self.tokens);
        tokens * tokens * (u64::from(self.outputs) + u64::from(self.inputs) + 1)
    }

    /// Number of pairs of rows per launch.
    fn pairs_at_once(&self) -> u32 {
        (LAUNCH / (self.outputs + self.inputs)).clamp(1, self.tokens * self.tokens)
    }
}

pub(crate) static PAIRS_SELECTOR: VariantSelector<PairsShape> = VariantSelector {
    variants: Variants {
        kernel: "gram_pairs",
        least_lanes: 4,
        all: &[
            Variant::subgroup("pairs8x1", 8, 1),
            Variant::subgroup("pairs8x2", 8, 2),
            Variant::subgroup("pairs8x4", 8, 4),
            Variant::subgroup("pairs4x4", 4, 4),
            Variant::scalar("scalar", 4),
        ],
    },
    class: |shape| {
        let [n, k] = [shape.outputs, shape.inputs].map(width_class);
        format!("{k} to {n}")
    },
    rule: |gpu, shape| tile_rule(gpu, [shape.inputs, shape.outputs], 8),
    requirement: |_, shape, variant| {
        let whole = (shape.inputs | shape.outputs).is_multiple_of(4);
        (variant.strategy != Strategy::Scalar && !whole)
            .then(|| format!("widths that are multiples of 4, got {} and {}", shape.inputs, shape.outputs))
    },
};

impl GramPairs {
    /// Records the products in the variant selected for their shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &PairsShape) -> Result<()> {
        let variant = PAIRS_SELECTOR.take(plan.gpu(), shape)?;
        let all = shape.tokens * shape.tokens;
        let mut first = 0;
        while first < all {
            let pairs = shape.pairs_at_once().min(all - first);
            let keep = shape.keep || first > 0;
            self.record_variant(plan, &PairsShape { keep, ..shape.clone() }, variant, [first, pairs])?;
            first += pairs;
        }
        Ok(())
    }

    pub(super) fn record_variant(
        &self,
        plan: &mut Plan,
        shape: &PairsShape,
        variant: &Variant,
        [first, pairs]: [u32; 2],
    ) -> Result<()> {
        let rows = shape.samples.rows();
        let (kernel, spec, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let (spec, groups) = subgroup_tiles(plan.gpu(), PAIRS.name, variant, rows)?;
                (&PAIRS, spec, groups)
            }
            _ => (&PAIRS_SCALAR, Vec::new(), (rows / 4 * (rows / 4)).div_ceil(64)),
        };
        let [all_rows, part_rows, tokens] = [rows, shape.samples.part_rows, shape.tokens].map(u64::from);
        let [outputs, inputs] = [shape.outputs, shape.inputs].map(u64::from);
        let triangle = Triangle::elements(rows);
        let each = 2.0 * f64::from(pairs) * (outputs + inputs + 1) as f64;
        let read = all_rows * tokens * outputs + part_rows * tokens * inputs;
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.signal[all_rows * tokens * outputs],
                self.input[part_rows * tokens * inputs],
                shape.samples.live[1],
                self.gram.high[triangle],
                self.gram.low[triangle]
            ),
            params: &[
                ("rows", rows.into()),
                ("part_rows", shape.samples.part_rows.into()),
                ("outputs", shape.outputs.into()),
                ("inputs", shape.inputs.into()),
                ("tokens", shape.tokens.into()),
                ("first_pair", first.into()),
                ("pairs", pairs.into()),
                ("bias", f32::from(u8::from(shape.bias)).into()),
                ("keep", u32::from(shape.keep).into()),
                ("zero", 0u32.into()),
            ],
            groups: Groups::Fixed(groups.into()),
            cost: Cost {
                flops: each * (all_rows * all_rows) as f64 / 2.0,
                bytes: 4.0 * (read as f64 + 4.0 * triangle as f64),
            },
            shape: format!("({rows}, {tokens}, {inputs} to {outputs})"),
        })
    }
}

/// Reference in f64: ⟨O_a, O_b⟩ of a linear layer, from rows `signal` (samples·T, N) and `input` (part_rows·T, K).
pub fn pairs_reference(signal: &[f32], input: &[f32], [a, b]: [usize; 2], shape: &PairsShape) -> f64 {
    let (n, k) = (shape.outputs as usize, shape.inputs as usize);
    let (t, part) = (shape.tokens as usize, shape.samples.part_rows as usize);
    let dot = |x: &[f32], [i, j]: [usize; 2], width: usize| -> f64 {
        let [x, y] = [i, j].map(|row| &x[row * width..(row + 1) * width]);
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let pairs = (0..t).flat_map(|i| (0..t).map(move |j| [i, j]));
    let of_pair = |[i, j]: [usize; 2]| {
        let of_input = dot(input, [a % part * t + i, b % part * t + j], k);
        dot(signal, [a * t + i, b * t + j], n) * (of_input + f64::from(u8::from(shape.bias)))
    };
    pairs.map(of_pair).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;

    /// Launches stay within the loop limit of every driver for any layer width and sequence length.
    #[test]
    fn launches_end_before_drivers_end_them() {
        let samples = |gpu: &Gpu| gpu.upload("live", &[1u32]).unwrap();
        let gpu = Gpu::new().unwrap();
        let samples = SampleRows { live: samples(&gpu).view(), part_rows: 64, parts: 1 };
        for [outputs, inputs, tokens] in [[4, 4, 1], [512, 1024, 7], [4, 4, 1000], [8192, 8192, 64]] {
            let shape = PairsShape { samples: samples.clone(), outputs, inputs, tokens, bias: true, keep: false };
            let pairs = shape.pairs_at_once();
            assert!(
                (1..=tokens * tokens).contains(&pairs) && pairs * (outputs + inputs) <= LAUNCH,
                "{shape:?}: {pairs}"
            );
        }
    }
}
