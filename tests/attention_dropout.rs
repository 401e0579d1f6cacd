//! Attention with dropout, in the variants that this machine's adapter and a GPU select, against the reference, and their
//! masks against each other.

use ketformer::Result;
use ketformer::gpu::{Gpu, GpuFigures, Plan};
use ketformer::kernels::RandomInputs;
use ketformer::kernels::attention::{
    AttentionBackward, AttentionDropout, AttentionForward, AttentionMask, AttentionShape, masked_backward_reference,
    masked_forward_reference,
};

const MASK: AttentionMask = AttentionMask { step: [3, 4, 5, 0], rate: 0.2, site: 2, first_sample: 1 };

/// out and d_qkv of `shape`, with dropout, from `qkv` and `d_out`, by a handle for the forward and one for the backward
/// pass.
fn passes([gpu, backward]: [&Gpu; 2], shape: &AttentionShape, qkv: &[f32], d_out: &[f32]) -> Result<[Vec<f32>; 2]> {
    let step = gpu.upload("step", &MASK.step)?;
    let AttentionMask { rate, site, first_sample, .. } = MASK;
    let dropout = AttentionDropout { step: step.view(), rate, site, first_sample };
    let shape = AttentionShape { dropout: Some(dropout), ..shape.clone() };
    let rows = u64::from(shape.b.capacity * shape.t * shape.h);
    let (lse, delta) = (gpu.buffer("lse", rows)?, gpu.buffer("delta", rows)?);
    let (out, d_qkv) = (gpu.buffer("out", d_out.len() as u64)?, gpu.buffer("d_qkv", qkv.len() as u64)?);
    let (qkv, slope) = (gpu.upload("qkv", qkv)?, gpu.upload("d_out", d_out)?);
    let mut plan = Plan::new(gpu);
    AttentionForward { qkv: qkv.view(), out: out.view(), lse: lse.view() }.record(&mut plan, &shape)?;
    plan.run()?;
    let mut plan = Plan::new(backward);
    let (lse, delta, d_out) = (lse.view(), delta.view(), slope.view());
    AttentionBackward { qkv: qkv.view(), out: out.view(), lse, d_out, delta, d_qkv: d_qkv.view() }
        .record(&mut plan, &shape)?;
    plan.run()?;
    let elements = (rows * u64::from(shape.d)) as usize;
    Ok([out.read(gpu, elements)?, d_qkv.read(gpu, 3 * elements)?])
}

/// Random qkv and d_out.
fn inputs(shape: &AttentionShape) -> [Vec<f32>; 2] {
    let mut random = RandomInputs::new(7);
    let elements = (shape.b.capacity * shape.t * shape.h * shape.d) as usize;
    [random.floats(3 * elements), random.floats(elements)]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Largest difference; NaN if there is one.
fn difference(found: &[f32], expected: &[f64]) -> f64 {
    let errors = wide(found).into_iter().zip(expected).map(|(a, b)| (a - b).abs());
    errors.fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a })
}

/// This machine's adapter, with the kernels of an RX 6800.
fn as_rx6800(gpu: &Gpu) -> Gpu {
    gpu.selecting_as(GpuFigures::find("rx6800").unwrap())
}

#[test]
fn every_adapter_selects_variants_that_agree_with_the_reference() {
    let gpu = Gpu::new().unwrap();
    for shape in [
        AttentionShape { b: 3.into(), t: 21, h: 2, d: 16, causal: true, ..Default::default() },
        AttentionShape { b: 2.into(), t: 9, h: 3, d: 6, ..Default::default() },
    ] {
        let [qkv, d_out] = inputs(&shape);
        let (out, _) = masked_forward_reference(&wide(&qkv), &shape, Some(&MASK));
        let (d_qkv, _) = masked_backward_reference(&wide(&qkv), &wide(&d_out), &shape, Some(&MASK));
        for gpu in [&gpu, &as_rx6800(&gpu)] {
            let found = passes([gpu, gpu], &shape, &qkv, &d_out).unwrap();
            for (found, expected) in found.iter().zip([&out, &d_qkv]) {
                assert!(difference(found, expected) < 1e-5, "{shape:?}");
            }
        }
    }
}

/// Forward variants, each with a backward one, by which GPUs train.
const TILED: [[&str; 2]; 5] =
    [["tiled1", "tiled16"], ["tiled2", "tiled32"], ["wide", "tiled"], ["tiled1", "tiled32"], ["tiled2", "tiled"]];

#[test]
fn tiled_variants_have_the_mask_and_the_gradients_of_scalar_ones() {
    let gpu = Gpu::new().unwrap();
    let scalar = gpu.with_variant("scalar1");
    for shape in [
        AttentionShape { b: 2.into(), t: 16, h: 3, d: 16, ..Default::default() },
        AttentionShape { b: 1.into(), t: 163, h: 2, d: 32, causal: true, ..Default::default() },
    ] {
        // Queries and keys of zeros make every probability 1 / T, so that out shows the mask: v_j is one in column j mod D.
        let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
        let [random, d_out] = inputs(&shape);
        let mut shows = vec![0.0; random.len()];
        for row in 0..shape.b.capacity as usize * t {
            (0..h).for_each(|head| shows[((3 * row + 2) * h + head) * d + row % t % d] = 1.0);
        }
        for qkv in [&shows, &random] {
            let expected = passes([&scalar, &scalar], &shape, qkv, &d_out).unwrap();
            for variants in TILED.iter().filter(|[_, backward]| t <= 16 || *backward == "tiled") {
                let [forward, backward] = variants.map(|name| gpu.with_variant(name));
                let found = passes([&forward, &backward], &shape, qkv, &d_out).unwrap();
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(difference(found, &wide(expected)) < 1e-5, "{shape:?} {variants:?}");
                }
            }
        }
    }
}

#[test]
fn a_variant_without_dropout_is_refused() {
    let shape = AttentionShape { b: 1.into(), t: 16, h: 1, d: 16, causal: true, ..Default::default() };
    let [qkv, d_out] = inputs(&shape);
    let forced = Gpu::new().unwrap().with_variant("cluster1");
    let error = passes([&forced, &forced], &shape, &qkv, &d_out).unwrap_err();
    assert!(error.to_string().contains("requires attention without dropout"), "{error}");
}
