//! Forward pass of general attention.

use super::split::{SPLIT, Splits};
use super::{FORWARD_SELECTOR, GeneralShape, Operands, groups, spec, tile_params};
use crate::error::Result;
use crate::gpu::{Bind, Cost, DType, Kernel, Launch, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("attention", "attention_general_forward");
pub(super) static FORWARD_SCALAR: Kernel = kernel!("attention", "attention_general_forward_scalar");
pub(super) static FORWARD_TILED: Kernel = kernel!("attention", "attention_general_forward_tiled");

record! {
    /// General attention forward pass; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct GeneralForward {
        /// Queries (B, Tq, H, D) with strides, f32 or f16
        pub q: View,
        /// Keys (B, Tk, Hk, D) with strides, of the type of `q`
        pub k: View,
        /// Values (B, Tk, Hk, Dv) with strides, of the type of `q`
        pub v: View,
        /// Added to the scores, f32, with [`GeneralShape::bias`] as strides. Below −10³⁰, as −∞, it excludes the pair.
        pub bias: Option<View>,
        /// (B), u32: number of keys of each sample, at most Tk; `None`: all
        pub key_counts: Option<View>,
        /// (B, Tq, H, Dv) with strides, of the type of `q`
        pub out: View,
        /// (B, H, Tq), f32: natural logarithm of the sum of exponentials, for the backward pass
        pub lse: View,
    }
}

impl GeneralForward {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for a shape beyond its limits, and if rows of `out` overlap;
    /// [`crate::ErrorKind::Settings`] for a scale or softcap that is not finite; as [`Plan::launch`], for f16 on a device
    /// without it and buffers that are too small or of different types.
    pub fn record(&self, plan: &mut Plan, shape: &GeneralShape) -> Result<()> {
        shape.check(&FORWARD_TILED, self.key_counts.is_some())?;
        let variant = FORWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &GeneralShape, variant: &Variant) -> Result<()> {
        if variant.launches == Some(SPLIT.name) {
            let scratch = Splits::new(plan, shape, self.key_counts.is_some())?;
            return self.record_splits(plan, shape, &scratch);
        }
        let (strategy, sizes) = (variant.strategy, [shape.queries, shape.heads, shape.value_width()]);
        let kernel = match strategy {
            Strategy::Subgroup => &FORWARD,
            Strategy::Tiled => &FORWARD_TILED,
            Strategy::Scalar | Strategy::Panel => &FORWARD_SCALAR,
        };
        let [.., out] = shape.strides();
        shape.check_written(kernel, "out", out, sizes)?;
        let operands = Operands { bias: self.bias.as_ref(), key_counts: self.key_counts.as_ref() };
        let mut params = shape.params(&operands);
        params.extend(tile_params(shape.value_width()));
        params.extend(out.params(["out_offset", "out_sample", "out_position", "out_head"]));
        let [q, k, v, made] = shape.elements();
        let absent = self.q.clone().stored_as(DType::F32);
        let mut bindings = Vec::from(bind!(self.q[q], self.k[k], self.v[v], self.out[made], self.lse[shape.rows()]));
        bindings.extend(operands.bindings(shape, &absent));
        let width = f64::from(shape.width + shape.value_width());
        plan.launch(&Launch {
            kernel,
            spec: &spec(shape, shape.value_width(), self.q.storage(), variant),
            bindings: &bindings,
            params: &params,
            groups: groups(shape, sizes, variant),
            cost: Cost {
                flops: 2.0 * shape.pairs() * width,
                bytes: (self.q.storage().bytes() * (q + k + v + made) + 4 * shape.rows()) as f64,
            },
            shape: shape.text(),
        })
    }
}

impl<'a> Operands<'a> {
    /// Bindings of the optional operands. Operands that are absent still need a view.
    pub(super) fn bindings(&self, shape: &GeneralShape, absent: &'a View) -> [Bind<'a>; 2] {
        let bias = self.bias.map_or((absent, 1), |bias| (bias, shape.bias_elements()));
        let counts = self.key_counts.map_or((absent, 1), |counts| (counts, shape.samples.into()));
        [
            Bind { name: "bias", view: bias.0, elements: bias.1 },
            Bind { name: "key_counts", view: counts.0, elements: counts.1 },
        ]
    }
}
