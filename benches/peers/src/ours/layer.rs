//! Products of a linear layer.

use ketformer::gpu::Gpu;
use ketformer::kernels::linear::{
    Extra, GradientInto, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
};

use super::{Ours, poisoned};
use crate::engine::{Form, Prepared, Result};
use crate::work::{Layer, LayerInputs, Product};

/// The variant that the crate selects.
pub fn form(gpu: &Gpu, s: &Layer, product: Product, inputs: &LayerInputs) -> Prepared {
    let (rows, inner, columns) = (s.rows as u32, s.inner as u32, s.columns as u32);
    let form = match product {
        Product::Output => product_form(
            gpu,
            LinearShape::forward(rows, inner, columns),
            [&inputs.x, &inputs.weight],
            s.rows * s.columns,
        ),
        Product::InputGradient => product_form(
            gpu,
            LinearShape::backward(rows, columns, inner),
            [&inputs.d_y, &inputs.weight],
            s.rows * s.inner,
        ),
        Product::WeightGradient => weight_gradient(gpu, s, inputs),
    };
    let name = form.as_ref().map_or_else(|_| "linear".to_string(), Form::name);
    (name, form.map(|form| Box::new(form) as Box<dyn Form>))
}

fn product_form(gpu: &Gpu, shape: LinearShape, [x, weight]: [&[f32]; 2], elements: usize) -> Result<Ours> {
    let (x, weight) = (gpu.upload("peers.x", x)?, gpu.upload("peers.weight", weight)?);
    let y = poisoned(gpu, "peers.y", elements)?;
    let kernel = LinearProduct { x: x.view(), weight: weight.view(), bias: None, extra: Extra::None, y: y.view() };
    Ours::new(gpu, move |plan| kernel.record(plan, &shape), vec![(y, elements)], |read| read)
}

fn weight_gradient(gpu: &Gpu, s: &Layer, inputs: &LayerInputs) -> Result<Ours> {
    let shape = GradientShape { rows: (s.rows as u32).into(), inputs: s.inner as u32, outputs: s.columns as u32 };
    let (x, d_y) = (gpu.upload("peers.x", &inputs.x)?, gpu.upload("peers.d_y", &inputs.d_y)?);
    let part = gpu.buffer("peers.part", shape.part_elements(gpu))?;
    let d_weight = poisoned(gpu, "peers.d_weight", s.columns * s.inner)?;
    let d_bias = poisoned(gpu, "peers.d_bias", s.columns)?;
    let kernel =
        LinearGradient { x: x.view(), d_y: d_y.view(), d_weight: d_weight.view(), d_bias: Some(d_bias.view()) };
    let record = move |plan: &mut _| {
        let sums = GradientSums::new(part.view(), GradientInto::REPLACE);
        kernel.record(plan, &shape, &sums)?;
        sums.finish(plan)
    };
    Ours::new(gpu, record, vec![(d_weight, s.columns * s.inner), (d_bias, s.columns)], |read| read)
}
