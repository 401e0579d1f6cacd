//! Gradients of general attention with respect to queries, keys and values.

use super::{
    BACKWARD_KEY_SELECTOR, BACKWARD_QUERY_SELECTOR, GeneralForward, GeneralShape, Operands, groups, spec, tile_params,
};
use crate::error::Result;
use crate::gpu::{Cost, DType, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{kernel, record};

pub(super) static STATISTICS: Kernel = kernel!("attention", "attention_general_statistics");
pub(super) static BACKWARD_QUERY_SCALAR: Kernel = kernel!("attention", "attention_general_backward_query_scalar");
pub(super) static BACKWARD_QUERY_TILED: Kernel = kernel!("attention", "attention_general_backward_query_tiled");
pub(super) static BACKWARD_KEY_SCALAR: Kernel = kernel!("attention", "attention_general_backward_key_scalar");
pub(super) static BACKWARD_KEY_TILED: Kernel = kernel!("attention", "attention_general_backward_key_tiled");

record! {
    /// General attention backward pass; see the module documentation. Gradients have the layouts and the type of what they
    /// are the gradients of. Elements between their rows are not written.
    #[derive(Debug, Clone)]
    pub struct GeneralBackward {
        /// As in the forward pass
        pub q: View,
        /// As in the forward pass
        pub k: View,
        /// As in the forward pass
        pub v: View,
        /// As in the forward pass
        pub bias: Option<View>,
        /// As in the forward pass
        pub key_counts: Option<View>,
        /// From the forward pass
        pub out: View,
        /// From the forward pass
        pub lse: View,
        /// Gradient of `out`
        pub d_out: View,
        /// (B, H, Tq, 2), f32: scratch for lse and δ
        pub statistics: View,
        /// Gradient of `q`
        pub d_q: View,
        /// Gradient of `k`, 0 for keys beyond the number of a sample
        pub d_k: View,
        /// Gradient of `v`, 0 for values beyond the number of a sample
        pub d_v: View,
    }
}

/// Buffer that a kernel over keys writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Keys = 0,
    Values = 1,
}

impl GeneralBackward {
    /// The forward pass in the same buffers.
    pub fn forward(&self) -> GeneralForward {
        let Self { q, k, v, bias, key_counts, out, lse, .. } = self.clone();
        GeneralForward { q, k, v, bias, key_counts, out, lse }
    }

    /// Records the four kernels in the variants selected for the shape.
    ///
    /// # Errors
    /// As [`super::GeneralForward::record`], and if rows of `q`, `k` or `v` overlap, whose layouts those of their gradients
    /// are.
    pub fn record(&self, plan: &mut Plan, shape: &GeneralShape) -> Result<()> {
        self.record_statistics(plan, shape)?;
        let variant = BACKWARD_QUERY_SELECTOR.take(plan.gpu(), shape)?;
        self.record_query(plan, shape, variant)?;
        let variant = BACKWARD_KEY_SELECTOR.take(plan.gpu(), shape)?;
        self.record_key(plan, shape, variant, Of::Keys)?;
        self.record_key(plan, shape, variant, Of::Values)
    }

    pub(super) fn record_statistics(&self, plan: &mut Plan, shape: &GeneralShape) -> Result<()> {
        shape.check(&STATISTICS, self.key_counts.is_some())?;
        let ([.., strides], [.., elements], rows) = (shape.strides(), shape.elements(), shape.rows());
        let mut params = vec![
            ("rows", (rows as u32).into()),
            ("queries", shape.queries.into()),
            ("heads", shape.heads.into()),
            ("value_width", shape.value_width().into()),
        ];
        params.extend(strides.params(["out_offset", "out_sample", "out_position", "out_head"]));
        params.extend(strides.params(["d_out_offset", "d_out_sample", "d_out_position", "d_out_head"]));
        plan.launch(&Launch {
            kernel: &STATISTICS,
            spec: &[("CACHE_BITS", self.out.storage().bits())],
            bindings: &bind!(self.out[elements], self.d_out[elements], self.lse[rows], self.statistics[2 * rows]),
            params: &params,
            groups: Groups::Fixed(rows.div_ceil(64)),
            cost: Cost {
                flops: 2.0 * rows as f64 * f64::from(shape.value_width()),
                bytes: (2 * self.out.storage().bytes() * elements + 12 * rows) as f64,
            },
            shape: shape.text(),
        })
    }

    pub(super) fn record_query(&self, plan: &mut Plan, shape: &GeneralShape, variant: &Variant) -> Result<()> {
        let made = (&self.d_q, 0, [shape.queries, shape.heads, shape.width]);
        let is_tiled = variant.strategy == Strategy::Tiled;
        let kernel = if is_tiled { &BACKWARD_QUERY_TILED } else { &BACKWARD_QUERY_SCALAR };
        self.record_pairs(plan, shape, (kernel, variant), ("d_q", made), None)
    }

    pub(super) fn record_key(&self, plan: &mut Plan, shape: &GeneralShape, variant: &Variant, of: Of) -> Result<()> {
        let kernel = if variant.strategy == Strategy::Tiled { &BACKWARD_KEY_TILED } else { &BACKWARD_KEY_SCALAR };
        let heads = shape.key_heads();
        let made = match of {
            Of::Keys => (&self.d_k, 1, [shape.keys, heads, shape.width]),
            Of::Values => (&self.d_v, 2, [shape.keys, heads, shape.value_width()]),
        };
        self.record_pairs(plan, shape, (kernel, variant), ("made", made), Some(of))
    }

    /// Records a kernel that writes the binding `name`: a view in the layout of operand 0, 1 or 2, with positions, heads
    /// and width.
    fn record_pairs(
        &self,
        plan: &mut Plan,
        shape: &GeneralShape,
        (kernel, variant): (&'static Kernel, &Variant),
        (name, (made, operand, sizes)): (&'static str, (&View, usize, [u32; 3])),
        of: Option<Of>,
    ) -> Result<()> {
        shape.check(kernel, self.key_counts.is_some())?;
        let (strides, [q, k, v, out]) = (shape.strides(), shape.elements());
        shape.check_written(kernel, ["d_q", "d_k", "d_v"][operand], strides[operand], sizes)?;
        let [.., width] = sizes;
        let operands = Operands { bias: self.bias.as_ref(), key_counts: self.key_counts.as_ref() };
        let mut params = shape.params(&operands);
        params.extend(tile_params(width));
        params.extend(strides[3].params(["d_out_offset", "d_out_sample", "d_out_position", "d_out_head"]));
        params.extend(strides[operand].params(["made_offset", "made_sample", "made_position", "made_head"]));
        let absent = self.q.clone().stored_as(DType::F32);
        let elements = [q, k, v][operand];
        let mut bindings = Vec::from(bind!(self.q[q], self.k[k], self.v[v], self.d_out[out]));
        bindings.extend(bind!(self.statistics[2 * shape.rows()], made[elements]));
        if let Some(bind) = bindings.last_mut() {
            bind.name = name;
        }
        bindings.extend(operands.bindings(shape, &absent));
        let mut spec = spec(shape, width, self.q.storage(), variant);
        spec.extend(of.map(|of| ("OF_VALUES", of as u32)));
        // Products of the scores, of their gradients except for the values, and of the sums.
        let products = shape.width + width + if of == Some(Of::Values) { 0 } else { shape.value_width() };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &params,
            groups: groups(shape, sizes, variant),
            cost: Cost {
                flops: 2.0 * shape.pairs() * f64::from(products),
                bytes: (self.q.storage().bytes() * (q + k + v + out + elements) + 8 * shape.rows()) as f64,
            },
            shape: shape.text(),
        })
    }
}
