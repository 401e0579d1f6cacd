//! Benchmarks of matrix products at a shape (rows, inner, columns): forward, both gradients, and the feed-forward part
//! of width `inner` and hidden width `columns`.

use crate::bench::gate::{columns_of, near, rows_of, words};
use crate::bench::key::RowKey;
use crate::bench::session::{Bench, checked};
use crate::bench::shape::BenchShape;
use crate::error::Result;
use crate::gpu::{Buffer, DType};
use crate::kernels::linear::cooperative;
use crate::kernels::linear::{
    Activation, Extra, GradientInto, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
    gradient_reference, product_reference,
};
use crate::kernels::nn::cast_f16::cast_f16_reference;
use crate::kernels::nn::feed_forward;
use crate::kernels::nn::feed_forward::{FeedForward, FeedForwardShape};

/// Measures all rows of one shape.
pub(crate) fn run(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [rows, inner, columns] = shape.sizes()?;
    product(session, RowKey::new("linear_product", "forward", shape), &LinearShape::forward(rows, inner, columns))?;
    let back = LinearShape::backward(rows, columns, inner);
    product(session, RowKey::new("linear_product", "input gradient", shape), &back)?;
    weight_gradient(session, shape)?;
    if cooperative::fragment(session.gpu, [inner, columns]).is_some() {
        let into = LinearShape::forward(rows, inner, columns);
        cooperative_product(session, RowKey::new("linear_product_cooperative", "forward", shape), &into)?;
        cooperative_product(session, RowKey::new("linear_product_cooperative", "input gradient", shape), &back)?;
    }
    feed_forward(session, shape)
}

/// Measures the feed-forward part, if the adapter has a kernel for it.
pub(crate) fn feed_forward(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [_, width, hidden] = shape.sizes()?;
    match feed_forward::lanes(session.gpu, width, hidden) {
        Some(lanes) => feed(session, shape, lanes),
        None => Ok(()),
    }
}

/// Tolerance: rounding errors of a sequential sum of `terms` terms grow as √terms.
fn tolerance(terms: u32) -> f64 {
    1e-6 * (1.0 + f64::from(terms).sqrt() / 4.0)
}

pub(crate) fn product(session: &mut Bench<'_>, title: RowKey, shape: &LinearShape) -> Result<()> {
    let count = u64::from(shape.inner) * u64::from(shape.columns);
    let (weight, buffer) = session.input("weight", count, 1.0)?;
    product_of(session, title, shape, (weight, buffer), |x| x, tolerance(shape.inner))
}

/// Measures the product with 16-bit weights. The reference casts its inputs to f16 too.
fn cooperative_product(session: &mut Bench<'_>, title: RowKey, shape: &LinearShape) -> Result<()> {
    let count = u64::from(shape.inner) * u64::from(shape.columns);
    let halves = cast_f16_reference(&session.input("weight", count, 1.0)?.0);
    let buffer = session.gpu.buffer_of("bench.weight", count, DType::F16)?;
    buffer.write(session.gpu, &halves.iter().map(|half| half.to_bits()).collect::<Vec<u16>>())?;
    let rounded = |values: Vec<f32>| cast_f16_reference(&values).iter().map(|half| half.to_f32()).collect();
    let weight = halves.iter().map(|half| half.to_f32()).collect();
    product_of(session, title, shape, (weight, buffer), rounded, 4.0 * tolerance(shape.inner))
}

/// Measures a product with a given weight. `seen` converts the inputs to the precision in which the kernel reads them.
fn product_of(
    session: &mut Bench<'_>,
    title: RowKey,
    shape: &LinearShape,
    (weight, weight_buffer): (Vec<f32>, Buffer),
    seen: impl Fn(Vec<f32>) -> Vec<f32>,
    tolerance: f64,
) -> Result<()> {
    let [rows, k, n] = [shape.rows.capacity, shape.inner, shape.columns].map(u64::from);
    let (x, x_buffer) = session.input("x", rows * k, 1.0)?;
    let y = session.output("y", rows * n)?;
    let kernel =
        LinearProduct { x: x_buffer.view(), weight: weight_buffer.view(), bias: None, extra: Extra::None, y: y.view() };
    session.measure(
        title,
        None,
        |plan| kernel.record(plan, shape),
        |gpu| {
            let some = checked(rows as usize, k * n);
            let got = rows_of(&words(gpu, &y, rows * n)?, n as usize, &some);
            let part = LinearShape { rows: (some.len() as u32).into(), ..shape.clone() };
            let expected = product_reference(&seen(rows_of(&x, k as usize, &some)), &weight, None, &part);
            Ok(vec![near("y", &got, expected, tolerance)])
        },
    )
}

pub(crate) fn weight_gradient(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [rows, inputs, outputs] = shape.sizes()?;
    let gradient = GradientShape { rows: rows.into(), inputs, outputs };
    let [rows, k, n] = [rows, inputs, outputs].map(u64::from);
    let (x, x_buffer) = session.input("x", rows * k, 1.0)?;
    let (d_y, d_y_buffer) = session.input("d_y", rows * n, 1.0)?;
    let part = session.output("part", gradient.part_elements(session.gpu))?;
    // Both gradients are in one buffer, as in a model, so that one launch adds the blocks of both.
    let bias_at = (k * n).next_multiple_of(64);
    let d_parameters = session.output("d_parameters", bias_at + n)?;
    let (d_weight, d_bias) = (d_parameters.range("d_weight", 0, k * n)?, d_parameters.range("d_bias", bias_at, n)?);
    let kernel = LinearGradient {
        x: x_buffer.view(),
        d_y: d_y_buffer.view(),
        d_weight: d_weight.clone(),
        d_bias: Some(d_bias.clone()),
    };
    session.measure(
        RowKey::new("linear_gradient", "weight gradient", shape),
        None,
        |plan| {
            let sums = GradientSums::new(part.view(), GradientInto::REPLACE);
            kernel.record(plan, &gradient, &sums)?;
            sums.finish(plan)
        },
        |gpu| {
            let some = checked(n as usize, rows * k);
            let d_y = columns_of(&d_y, n as usize, &some);
            let (weights, biases) = gradient_reference(&x, &d_y, rows as usize, k as usize, some.len());
            let got_weights = rows_of(&words(gpu, &d_weight, k * n)?, k as usize, &some);
            let got_biases = rows_of(&words(gpu, &d_bias, n)?, 1, &some);
            Ok(vec![near("d_weight", &got_weights, weights, 1e-5), near("d_bias", &got_biases, biases, 1e-5)])
        },
    )
}

fn feed(session: &mut Bench<'_>, shape: &BenchShape, lanes: u32) -> Result<()> {
    let [rows, width, hidden] = shape.sizes()?;
    let form = FeedForwardShape { rows: rows.into(), width, hidden, activation: Activation::Relu };
    let [r, c, f] = [rows, width, hidden].map(u64::from);
    let (x, x_buffer) = session.input("x", r * c, 1.0)?;
    let (weight1, weight1_buffer) = session.input("weight1", f * c, 1.0)?;
    let (bias1, bias1_buffer) = session.input("bias1", f, 1.0)?;
    let (weight2, weight2_buffer) = session.input("weight2", c * f, 1.0)?;
    let (bias2, bias2_buffer) = session.input("bias2", c, 1.0)?;
    let y = session.output("y", r * c)?;
    let kernel = FeedForward {
        x: x_buffer.view(),
        residual: x_buffer.view(),
        weight1: weight1_buffer.view(),
        bias1: bias1_buffer.view(),
        weight2: weight2_buffer.view(),
        bias2: bias2_buffer.view(),
        y: y.view(),
    };
    session.measure(
        RowKey::new("feed_forward", "relu", shape),
        None,
        |plan| kernel.record(plan, &form, lanes),
        |gpu| {
            let some = checked(rows as usize, 2 * c * f);
            let got = rows_of(&words(gpu, &y, r * c)?, c as usize, &some);
            let x = rows_of(&x, c as usize, &some);
            let expected = feed_forward::reference(&x, &x, [&weight1, &bias1, &weight2, &bias2], form.activation);
            Ok(vec![near("y", &got, expected, tolerance(width + hidden))])
        },
    )
}
