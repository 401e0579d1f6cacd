//! Attention by burn.

use burn_autodiff::Autodiff;
use burn_backend::ops::{AttentionModuleOptions, ModuleOps};
use burn_backend::tensor::FloatTensor;
use burn_backend::{AutodiffBackend, Backend};
use burn_cubecl::CubeDevice;
use burn_cubecl::kernel::attention::{AttentionStrategy, attention};
use ketformer::arena::{Mask, Pass};

use super::{Fused, Plain, form, tensor};
use crate::engine::Prepared;
use crate::sizes::Sizes;
use crate::work::AttentionInputs;

/// Queries, keys and values.
type Operands<B> = [FloatTensor<B>; 3];

/// All variants in which burn computes the problem.
pub fn forms(device: &CubeDevice, s: &Sizes, pass: Pass, inputs: &AttentionInputs) -> Vec<Prepared> {
    if pass == Pass::Forward {
        vec![
            operation::<Fused>("attention", device, s, inputs),
            operation::<Plain>("attention, no fusion", device, s, inputs),
            flash_unit(device, s, inputs),
            with_logsumexp(device, s, inputs),
            products::<Fused>("softmax(q·kᵀ/√D + mask)·v", device, s, inputs),
            products::<Plain>("softmax(q·kᵀ/√D + mask)·v, no fusion", device, s, inputs),
        ]
    } else {
        vec![
            operation_gradient::<Fused>("attention, autodiff", device, s, inputs),
            operation_gradient::<Plain>("attention, autodiff, no fusion", device, s, inputs),
            backward(device, s, inputs),
            products_gradient::<Fused>("softmax(q·kᵀ/√D + mask)·v, autodiff", device, s, inputs),
            products_gradient::<Plain>("softmax(q·kᵀ/√D + mask)·v, autodiff, no fusion", device, s, inputs),
        ]
    }
}

fn options(s: &Sizes) -> AttentionModuleOptions {
    AttentionModuleOptions { is_causal: s.mask == Mask::Causal, ..Default::default() }
}

/// q (B, H, S, D), k and v (B, HK, SK, D).
fn operands<B: Backend>(device: &B::Device, s: &Sizes, inputs: &AttentionInputs) -> Operands<B> {
    let keys = [s.b, s.hk, s.sk, s.d];
    [
        tensor::<B, 4>(device, &inputs.q, [s.b, s.h, s.s, s.d]),
        tensor::<B, 4>(device, &inputs.k, keys),
        tensor::<B, 4>(device, &inputs.v, keys),
    ]
}

/// Attention operation, whose kernels autotuning selects: flash attention or separate kernels.
fn operation<B: Backend<Device = CubeDevice>>(
    name: &str,
    device: &CubeDevice,
    s: &Sizes,
    inputs: &AttentionInputs,
) -> Prepared {
    let (operands, options) = (operands::<B>(device, s, inputs), options(s));
    form::<B>(name, device, move || {
        let [q, k, v] = operands.clone();
        vec![B::attention(q, k, v, None, None, options)]
    })
}

/// Flash attention without tensor cores or subgroups, which autotuning considers last.
fn flash_unit(device: &CubeDevice, s: &Sizes, inputs: &AttentionInputs) -> Prepared {
    let (operands, options) = (operands::<Plain>(device, s, inputs), options(s));
    form::<Plain>("flash attention by units", device, move || {
        let [q, k, v] = operands.clone();
        // A shape that it does not support gives no output, which the check detects.
        attention(q, k, v, None, None, options, AttentionStrategy::FlashUnit).into_iter().collect()
    })
}

/// Forward pass of the operation with gradients: kernels of its own, which also return the logarithms of the sums.
fn with_logsumexp(device: &CubeDevice, s: &Sizes, inputs: &AttentionInputs) -> Prepared {
    let (operands, options) = (operands::<Plain>(device, s, inputs), options(s));
    form::<Plain>("attention with logsumexp", device, move || {
        let [q, k, v] = operands.clone();
        vec![Plain::attention_with_logsumexp(q, k, v, options).0]
    })
}

/// Gradients of the operation, whose output has a gradient of ones.
fn operation_gradient<B: Backend<Device = CubeDevice>>(
    name: &str,
    device: &CubeDevice,
    s: &Sizes,
    inputs: &AttentionInputs,
) -> Prepared {
    let (operands, options) = (operands::<B>(device, s, inputs), options(s));
    gradient::<B>(name, device, operands, move |[q, k, v]| Autodiff::<B>::attention(q, k, v, None, None, options))
}

/// Forward and backward kernels of the operation without the graph of autodiff.
fn backward(device: &CubeDevice, s: &Sizes, inputs: &AttentionInputs) -> Prepared {
    let (operands, options) = (operands::<Plain>(device, s, inputs), options(s));
    let ones = tensor::<Plain, 4>(device, &vec![1.0; s.query_elements()], [s.b, s.h, s.s, s.d]);
    form::<Plain>("attention with logsumexp, attention backward", device, move || {
        let [q, k, v] = operands.clone();
        let (out, lse) = Plain::attention_with_logsumexp(q.clone(), k.clone(), v.clone(), options);
        let made = Plain::attention_backward(q, k, v, out.clone(), lse, ones.clone(), options);
        vec![out, made.query_grad, made.key_grad, made.value_grad]
    })
}

/// Operands of separate products: the queries that share keys are the rows of one matrix, q (B, HK, G·S, D), in the same
/// order in memory.
fn grouped<B: Backend>(device: &B::Device, s: &Sizes, inputs: &AttentionInputs) -> Operands<B> {
    let [_, k, v] = operands::<B>(device, s, inputs);
    [tensor::<B, 4>(device, &inputs.q, [s.b, s.hk, s.group() * s.s, s.d]), k, v]
}

/// Mask of the grouped queries (1, 1, G·S, SK): 0 for a key that the query sees, −∞ otherwise; `None` if it sees all.
fn mask<B: Backend>(device: &B::Device, s: &Sizes) -> Option<FloatTensor<B>> {
    let value = |i: usize, j: usize| if s.sees(i, j) { 0.0 } else { f32::NEG_INFINITY };
    let of_head = |_| (0..s.s).flat_map(|i| (0..s.sk).map(move |j| value(i, j)));
    let values: Vec<f32> = (0..s.group()).flat_map(of_head).collect();
    (s.mask == Mask::Causal).then(|| tensor::<B, 4>(device, &values, [1, 1, s.group() * s.s, s.sk]))
}

/// softmax(q kᵀ / √D + mask) v.
fn written_out<B: Backend>([q, k, v]: Operands<B>, mask: Option<FloatTensor<B>>, d: usize) -> FloatTensor<B> {
    let scores = B::float_mul_scalar(B::float_matmul(q, B::float_transpose(k)), (1.0 / (d as f64).sqrt()).into());
    let scores = match mask {
        Some(mask) => B::float_add(scores, mask),
        None => scores,
    };
    B::float_matmul(B::softmax(scores, 3), v)
}

fn products<B: Backend<Device = CubeDevice>>(
    name: &str,
    device: &CubeDevice,
    s: &Sizes,
    inputs: &AttentionInputs,
) -> Prepared {
    let (operands, mask, d) = (grouped::<B>(device, s, inputs), mask::<B>(device, s), s.d);
    form::<B>(name, device, move || vec![written_out::<B>(operands.clone(), mask.clone(), d)])
}

fn products_gradient<B: Backend<Device = CubeDevice>>(
    name: &str,
    device: &CubeDevice,
    s: &Sizes,
    inputs: &AttentionInputs,
) -> Prepared {
    let (operands, mask, d) = (grouped::<B>(device, s, inputs), mask::<B>(device, s), s.d);
    let mask = mask.map(Autodiff::<B>::from_inner);
    gradient::<B>(name, device, operands, move |tracked| written_out::<Autodiff<B>>(tracked, mask.clone(), d))
}

/// Output of a tracked computation and its gradients, from a gradient of ones.
fn gradient<B: Backend<Device = CubeDevice>>(
    name: &str,
    device: &CubeDevice,
    operands: Operands<B>,
    compute: impl Fn(Operands<Autodiff<B>>) -> FloatTensor<Autodiff<B>> + 'static,
) -> Prepared {
    let leaves = operands.map(|operand| Autodiff::<B>::from_inner(operand).require_grad());
    form::<B>(name, device, move || {
        let out = compute(leaves.clone());
        let made = Autodiff::<B>::inner(out.clone());
        let gradients = Autodiff::<B>::backward(out);
        std::iter::once(made).chain(leaves.iter().filter_map(|leaf| Autodiff::<B>::grad(leaf, &gradients))).collect()
    })
}
