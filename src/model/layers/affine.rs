//! Linear layers and norms: parameters, initial values, and the kernels of their forward and backward passes.

use crate::error::Result;
use crate::gpu::{Plan, Rows, View};
use crate::kernels::attention::factored::{FactoredAttention, FactoredGradient, FactoredShape, Orientation};
use crate::kernels::linear::{
    Activation, Extra, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
};
use crate::kernels::nn::norm::{NormBackward, NormForward, NormGradient, NormShape};
use crate::model::{Initial, ParameterSpec, Parameters};

/// Weight and bias of a linear layer, or scale and shift of a norm; values or gradients.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub weight: View,
    pub bias: View,
}

/// Function that returns the view of a parameter by name.
pub(crate) type Find<'a> = dyn Fn(&str) -> Result<View> + 'a;

impl Affine {
    /// Returns the views of `name.weight` and `name.bias`.
    pub(crate) fn find(find: &Find<'_>, name: &str) -> Result<Self> {
        Ok(Self { weight: find(&format!("{name}.weight"))?, bias: find(&format!("{name}.bias"))? })
    }
}

/// Views of the parameters of a part of a network.
#[derive(Debug, Clone)]
pub(crate) struct ParameterViews<T> {
    /// f32, read by training passes.
    pub values: T,
    /// In the storage precision of inference passes.
    pub sampled: T,
    pub gradients: T,
}

impl<T> ParameterViews<T> {
    /// Builds `part` from each of the three sets of views; `prefix` is prepended to its parameter names.
    pub(crate) fn new(parameters: &Parameters, prefix: &str, part: impl Fn(&Find<'_>) -> Result<T>) -> Result<Self> {
        let full = |name: &str| format!("{prefix}{name}");
        Ok(Self {
            values: part(&|name| parameters.value(&full(name)))?,
            sampled: part(&|name| parameters.sampled(&full(name)))?,
            gradients: part(&|name| parameters.gradient_of(&full(name)))?,
        })
    }
}

/// Weight and bias of a linear layer with PyTorch's initial values: uniform within ±1/√inputs.
pub(crate) fn linear(name: &str, outputs: usize, inputs: usize) -> [ParameterSpec; 2] {
    let initial = Initial::Uniform(1.0 / (inputs as f64).sqrt());
    let weight =
        ParameterSpec { name: format!("{name}.weight"), shape: vec![outputs, inputs], initial: initial.clone() };
    [weight, ParameterSpec { name: format!("{name}.bias"), shape: vec![outputs], initial }]
}

/// Returns `specs` as a part of another model, with `prefix` prepended to their names.
pub(crate) fn prefixed(prefix: &str, specs: Vec<ParameterSpec>) -> Vec<ParameterSpec> {
    let with_prefix = |mut spec: ParameterSpec| {
        spec.name.insert_str(0, prefix);
        if let Initial::SameAs(first) = &mut spec.initial {
            first.insert_str(0, prefix);
        }
        spec
    };
    specs.into_iter().map(with_prefix).collect()
}

/// Parameter with a constant initial value.
pub(crate) fn constant(name: String, shape: Vec<usize>, value: f32) -> ParameterSpec {
    ParameterSpec { name, shape, initial: Initial::Constant(value) }
}

/// Scale and shift of a norm of rows of `width`, with initial values 1 and 0.
pub(crate) fn norm_specs(name: &str, width: usize) -> [ParameterSpec; 2] {
    [constant(format!("{name}.weight"), vec![width], 1.0), constant(format!("{name}.bias"), vec![width], 0.0)]
}

/// x Wᵀ + b.
pub(crate) fn product(x: &View, affine: &Affine, extra: Extra, y: &View) -> LinearProduct {
    let (weight, bias) = (affine.weight.clone(), Some(affine.bias.clone()));
    LinearProduct { x: x.clone(), weight, bias, extra, y: y.clone() }
}

/// Records a norm of rows.
pub(crate) fn norm(
    plan: &mut Plan,
    x: &View,
    affine: &Affine,
    [y, stats]: [&View; 2],
    shape: &NormShape,
) -> Result<()> {
    let forward = NormForward {
        x: x.clone(),
        gamma: affine.weight.clone(),
        beta: affine.bias.clone(),
        y: y.clone(),
        stats: stats.clone(),
    };
    forward.record(plan, shape)
}

/// Context of a backward pass.
pub struct BackwardContext<'a> {
    /// Rows of the pass.
    pub rows: &'a Rows,
    /// Parameter gradients.
    pub sums: &'a GradientSums<'a>,
}

impl BackwardContext<'_> {
    /// Records the parameter gradients of a layer from `inputs` to `outputs` columns.
    pub(crate) fn gradient(
        &self,
        plan: &mut Plan,
        x: &View,
        d_y: &View,
        [inputs, outputs]: [u32; 2],
        into: &Affine,
    ) -> Result<()> {
        let gradient = LinearGradient {
            x: x.clone(),
            d_y: d_y.clone(),
            d_weight: into.weight.clone(),
            d_bias: Some(into.bias.clone()),
        };
        gradient.record(plan, &GradientShape { rows: self.rows.clone(), inputs, outputs }, self.sums)
    }

    /// Records the gradient of a layer's inputs: from `inner` outputs back to `columns` inputs.
    pub(crate) fn product(
        &self,
        plan: &mut Plan,
        d_y: &View,
        affine: &Affine,
        (extra, activation): (Extra, Activation),
        d_x: &View,
        [inner, columns]: [u32; 2],
    ) -> Result<()> {
        let weight = affine.weight.clone();
        let product = LinearProduct { x: d_y.clone(), weight, bias: None, extra, y: d_x.clone() };
        product.record(plan, &LinearShape::backward(self.rows.clone(), inner, columns).activated(activation))
    }

    /// Records the gradients of the values `v` and of the weights of factored attention from the gradient `d_out` of
    /// its output.
    pub(crate) fn relative(
        &self,
        plan: &mut Plan,
        [v, d_out, d_v]: [View; 3],
        [relative, into]: [&View; 2],
        shape: &FactoredShape,
    ) -> Result<()> {
        FactoredGradient { d_out: d_out.clone(), v, d_relative: into.clone() }.record(plan, shape, self.sums)?;
        FactoredAttention { v: d_out, relative: relative.clone(), out: d_v }.record(plan, shape, Orientation::Reversed)
    }

    /// Records the gradients of a norm's parameters and rows; `extra` is added to the gradient of the rows.
    pub(crate) fn norm(
        &self,
        plan: &mut Plan,
        [x, stats, d_y, d_x]: [&View; 4],
        extra: Option<&View>,
        [affine, into]: [&Affine; 2],
        width: u32,
    ) -> Result<()> {
        let shape = NormShape::new(self.rows.clone(), width);
        let gradient = NormGradient {
            x: x.clone(),
            stats: stats.clone(),
            d_y: d_y.clone(),
            d_gamma: into.weight.clone(),
            d_beta: into.bias.clone(),
        };
        gradient.record(plan, &shape, self.sums)?;
        let backward = NormBackward {
            x: x.clone(),
            stats: stats.clone(),
            gamma: affine.weight.clone(),
            d_y: d_y.clone(),
            extra: extra.cloned(),
            d_x: d_x.clone(),
        };
        backward.record(plan, &shape)
    }
}
