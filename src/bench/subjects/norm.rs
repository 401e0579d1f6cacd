//! Benchmarks of layer normalization at a shape (rows, C): forward, input gradient, gradient of scale and shift.

use crate::bench::gate::{near, rows_of, wide, words};
use crate::bench::key::RowKey;
use crate::bench::session::{Bench, checked};
use crate::bench::shape::BenchShape;
use crate::error::Result;
use crate::kernels::linear::{GradientInto, GradientSums};
use crate::kernels::nn::norm::{
    NormBackward, NormForward, NormGradient, NormShape, backward_reference, forward_reference, gradient_reference,
};

/// Measures all rows of one shape.
pub(crate) fn run(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [rows, width] = shape.sizes()?;
    let form = NormShape::new(rows, width);
    let (count, c) = (rows as usize, width as usize);
    let elements = u64::from(rows) * u64::from(width);
    let (x, x_buffer) = session.input("x", elements, 1.0)?;
    let (gamma, gamma_buffer) = session.input("gamma", width.into(), 1.0)?;
    let (beta, beta_buffer) = session.input("beta", width.into(), 1.0)?;
    let (d_y, d_y_buffer) = session.input("d_y", elements, 1.0)?;
    let (gamma, beta) = (wide(&gamma), wide(&beta));
    let (_, stats) = forward_reference(&wide(&x), &gamma, &beta);
    let rounded: Vec<f32> = stats.iter().map(|v| *v as f32).collect();
    let stats_buffer = session.gpu.upload("bench.stats", &rounded)?;
    let some = checked(count, 16 * u64::from(width));
    let some_x = wide(&rows_of(&x, c, &some));
    // Narrow rows can have very small standard deviations, which amplify rounding errors.
    let tolerance = if width < 16 { 1e-3 } else { 3e-5 };

    let (y, made_stats) = (session.output("y", elements)?, session.output("made_stats", 2 * u64::from(rows))?);
    let forward = NormForward {
        x: x_buffer.view(),
        gamma: gamma_buffer.view(),
        beta: beta_buffer.view(),
        y: y.view(),
        stats: made_stats.view(),
    };
    session.measure(
        RowKey::new("norm_forward", "", shape),
        None,
        |plan| forward.record(plan, &form),
        |gpu| {
            let (expected, stats) = forward_reference(&some_x, &gamma, &beta);
            let got = rows_of(&words(gpu, &y, elements)?, c, &some);
            let got_stats = rows_of(&words(gpu, &made_stats, 2 * u64::from(rows))?, 2, &some);
            Ok(vec![near("y", &got, expected, tolerance), near("stats", &got_stats, stats, tolerance)])
        },
    )?;

    let d_x = session.output("d_x", elements)?;
    let backward = NormBackward {
        x: x_buffer.view(),
        stats: stats_buffer.view(),
        gamma: gamma_buffer.view(),
        d_y: d_y_buffer.view(),
        extra: None,
        d_x: d_x.view(),
    };
    session.measure(
        RowKey::new("norm_backward", "", shape),
        None,
        |plan| backward.record(plan, &form),
        |gpu| {
            let (stats, slopes) = (wide(&rows_of(&rounded, 2, &some)), wide(&rows_of(&d_y, c, &some)));
            let expected = backward_reference(&some_x, &stats, &gamma, &slopes);
            let got = rows_of(&words(gpu, &d_x, elements)?, c, &some);
            Ok(vec![near("d_x", &got, expected, tolerance)])
        },
    )?;

    let part = session.output("part", form.part_elements(session.gpu))?;
    let (width, shift_at) = (u64::from(width), u64::from(width).next_multiple_of(64));
    let d_parameters = session.output("d_parameters", shift_at + width)?;
    let (d_gamma, d_beta) = (d_parameters.range("d_gamma", 0, width)?, d_parameters.range("d_beta", shift_at, width)?);
    let gradient = NormGradient {
        x: x_buffer.view(),
        stats: stats_buffer.view(),
        d_y: d_y_buffer.view(),
        d_gamma: d_gamma.clone(),
        d_beta: d_beta.clone(),
    };
    session.measure(
        RowKey::new("norm_gradient", "", shape),
        None,
        |plan| {
            let sums = GradientSums::new(part.view(), GradientInto::REPLACE);
            gradient.record(plan, &form, &sums)?;
            sums.finish(plan)
        },
        |gpu| {
            let (scale, shift) = gradient_reference(&wide(&x), &wide(&rounded), &wide(&d_y), c);
            let (got_scale, got_shift) = (words(gpu, &d_gamma, width)?, words(gpu, &d_beta, width)?);
            Ok(vec![near("d_gamma", &got_scale, scale, tolerance), near("d_beta", &got_shift, shift, tolerance)])
        },
    )
}
