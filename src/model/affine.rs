//! Weights with their biases, as passes find and use them: what all wave functions here are made of.

use super::{Initial, ParameterSpec, Parameters};
use crate::error::Result;
use crate::gpu::{Plan, Rows, View};
use crate::kernels::attention::relative::{Look, RelativeAttention, RelativeGradient, RelativeShape};
use crate::kernels::linear::{
    Activation, Extra, GradientInto, GradientShape, LinearGradient, LinearProduct, LinearShape,
};
use crate::kernels::norm::{NormBackward, NormForward, NormGradient, NormShape};

/// Weight and bias of a linear layer, or scale and shift of a norm; values or gradients.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub weight: View,
    pub bias: View,
}

/// Finds a parameter by name.
pub(super) type Find<'a> = dyn Fn(&str) -> Result<View> + 'a;

impl Affine {
    /// `name.weight` and `name.bias`.
    pub fn find(find: &Find<'_>, name: &str) -> Result<Self> {
        Ok(Self { weight: find(&format!("{name}.weight"))?, bias: find(&format!("{name}.bias"))? })
    }
}

/// The parameters of a part of a network.
#[derive(Debug, Clone)]
pub(super) struct Places<T> {
    /// f32, for passes with gradient.
    pub values: T,
    /// As passes without gradient read them.
    pub sampled: T,
    pub gradients: T,
}

impl<T> Places<T> {
    /// Looks the part up three times; its names stand behind `prefix`.
    pub fn new(parameters: &Parameters, prefix: &str, part: impl Fn(&Find<'_>) -> Result<T>) -> Result<Self> {
        let full = |name: &str| format!("{prefix}{name}");
        Ok(Self {
            values: part(&|name| parameters.value(&full(name)))?,
            sampled: part(&|name| parameters.sampled(&full(name)))?,
            gradients: part(&|name| parameters.gradient_of(&full(name)))?,
        })
    }
}

/// Weight and bias of a linear layer as PyTorch begins them: uniform within 1/√inputs.
pub(super) fn linear(name: &str, outputs: usize, inputs: usize) -> [ParameterSpec; 2] {
    let initial = Initial::Uniform(1.0 / (inputs as f64).sqrt());
    let weight =
        ParameterSpec { name: format!("{name}.weight"), shape: vec![outputs, inputs], initial: initial.clone() };
    [weight, ParameterSpec { name: format!("{name}.bias"), shape: vec![outputs], initial }]
}

/// The same parameters as a part of another model, their names behind `prefix`.
pub(super) fn prefixed(prefix: &str, specs: Vec<ParameterSpec>) -> Vec<ParameterSpec> {
    let with_prefix = |mut spec: ParameterSpec| {
        spec.name.insert_str(0, prefix);
        if let Initial::SameAs(first) = &mut spec.initial {
            first.insert_str(0, prefix);
        }
        spec
    };
    specs.into_iter().map(with_prefix).collect()
}

/// A parameter that begins as the same number everywhere.
pub(super) fn constant(name: String, shape: Vec<usize>, value: f32) -> ParameterSpec {
    ParameterSpec { name, shape, initial: Initial::Constant(value) }
}

/// Scale and shift of a norm of rows of `width`, which begins as the identity.
pub(super) fn norm_specs(name: &str, width: usize) -> [ParameterSpec; 2] {
    [constant(format!("{name}.weight"), vec![width], 1.0), constant(format!("{name}.bias"), vec![width], 0.0)]
}

/// x Wᵀ + b.
pub(super) fn product(x: &View, affine: &Affine, extra: Extra, y: &View) -> LinearProduct {
    let (weight, bias) = (affine.weight.clone(), Some(affine.bias.clone()));
    LinearProduct { x: x.clone(), weight, bias, extra, y: y.clone() }
}

/// A norm of rows.
pub(super) fn norm(
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

/// The reversed calls of a pass.
pub(super) struct Reversed<'a> {
    /// Its rows.
    pub rows: &'a Rows,
    /// Scratch for the blocks of the gradients of parameters.
    pub part: View,
    /// Where the gradients of parameters go.
    pub into: GradientInto<'a>,
}

impl Reversed<'_> {
    /// Gradient of a layer from `inputs` to `outputs` columns.
    pub fn gradient(
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
            part: self.part.clone(),
            d_weight: into.weight.clone(),
            d_bias: into.bias.clone(),
        };
        gradient.record(plan, &GradientShape { rows: self.rows.clone(), inputs, outputs }, self.into)
    }

    /// Gradient of the inputs of a layer: `inner` outputs back to `columns` inputs.
    pub fn product(
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

    /// Both gradients of factored attention: from that of its output `d_out` to those of the values `v` and of the weights.
    pub fn relative(
        &self,
        plan: &mut Plan,
        [v, d_out, d_v]: [View; 3],
        [relative, into]: [&View; 2],
        shape: &RelativeShape,
    ) -> Result<()> {
        let part = self.part.clone();
        let gradient = RelativeGradient { d_out: d_out.clone(), v, part, d_relative: into.clone() };
        gradient.record(plan, shape, self.into)?;
        RelativeAttention { v: d_out, relative: relative.clone(), out: d_v }.record(plan, shape, Look::Reversed)
    }

    /// Both gradients of a norm; `extra` is added to that of its rows.
    pub fn norm(
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
            part: self.part.clone(),
            d_gamma: into.weight.clone(),
            d_beta: into.bias.clone(),
        };
        gradient.record(plan, &shape, self.into)?;
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
