//! burn with its wgpu backend and its default fusion and autotuning; gradients by its Autodiff backend.
//!
//! Each benchmark has several variants, because burn offers several ways to write it. The comparison uses the fastest.

use burn_autodiff::Autodiff;
use burn_cubecl::kernel::attention::{AttentionStrategy, attention as attention_by};
use burn_tensor::activation::softmax;
use burn_tensor::backend::Backend;
use burn_tensor::module::attention;
use burn_tensor::ops::AttentionModuleOptions;
use burn_tensor::{Tensor, TensorData, TensorPrimitive};
use burn_wgpu::graphics::{Dx12, Metal, Vulkan};
use burn_wgpu::{CubeBackend, RuntimeOptions, Wgpu, WgpuDevice, WgpuRuntime, init_setup};
use ketformer::gpu::{Gpu, adapters};
use ketformer::wgpu;

use crate::engine::{Form, Result};
use crate::work::{Heads, Inputs, Work};

type Tracked = Autodiff<Wgpu>;

/// Backend with the same kernels but without fusion, which does not accept explicitly selected kernels.
type Bare = CubeBackend<WgpuRuntime, f32, i32, u32>;

/// Shader language to which burn compiles its kernels.
pub const COMPILER: &str = if cfg!(feature = "spirv") { "SPIR-V" } else { "WGSL" };

/// Opens the adapter of `gpu` with burn.
pub fn open(gpu: &Gpu) -> Result<WgpuDevice> {
    let wanted = gpu.info();
    let same_kind = |info: &wgpu::AdapterInfo| (info.device_type, info.backend) == (wanted.device_type, wanted.backend);
    let is_wanted = |info: &wgpu::AdapterInfo| (&info.name, info.device) == (&wanted.name, wanted.device);
    let kind: Vec<wgpu::AdapterInfo> = adapters().into_iter().map(|a| a.info).filter(same_kind).collect();
    let index = kind.iter().position(is_wanted).unwrap_or(0);
    let device = match wanted.device_type {
        wgpu::DeviceType::DiscreteGpu => WgpuDevice::DiscreteGpu(index),
        wgpu::DeviceType::IntegratedGpu => WgpuDevice::IntegratedGpu(index),
        wgpu::DeviceType::VirtualGpu => WgpuDevice::VirtualGpu(index),
        wgpu::DeviceType::Cpu => WgpuDevice::Cpu,
        wgpu::DeviceType::Other => WgpuDevice::DefaultDevice,
    };
    let setup = match wanted.backend {
        wgpu::Backend::Metal => init_setup::<Metal>(&device, RuntimeOptions::default()),
        wgpu::Backend::Dx12 => init_setup::<Dx12>(&device, RuntimeOptions::default()),
        _ => init_setup::<Vulkan>(&device, RuntimeOptions::default()),
    };
    let found = setup.adapter.get_info();
    if (&found.name, found.device) != (&wanted.name, wanted.device) {
        return Err(format!("burn opened {}, not {}; give another --adapter", found.name, wanted.name).into());
    }
    Ok(device)
}

/// Output tensor of a call.
enum Made {
    Heads(Tensor<Wgpu, 4>),
    Bare(Tensor<Bare, 4>),
    Matrix(Tensor<Wgpu, 2>),
}

/// Conversion of the outputs to the layouts of the crate.
type Arrange = Box<dyn Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>>>;

/// One way to compute a benchmark with burn.
pub struct BurnForm {
    name: &'static str,
    device: WgpuDevice,
    call: Box<dyn Fn() -> Vec<Made>>,
    arrange: Arrange,
    made: Vec<Made>,
}

impl Form for BurnForm {
    fn name(&self) -> String {
        self.name.into()
    }

    fn run(&mut self, calls: usize) -> Result<()> {
        for _ in 0..calls {
            self.made = (self.call)();
        }
        Wgpu::<f32, i32, u32>::sync(&self.device).map_err(|e| format!("burn could not wait: {e:?}").into())
    }

    fn read(&mut self) -> Result<Vec<Vec<f32>>> {
        let words = |made: &Made| match made {
            Made::Heads(tensor) => tensor.to_data().to_vec::<f32>(),
            Made::Bare(tensor) => tensor.to_data().to_vec::<f32>(),
            Made::Matrix(tensor) => tensor.to_data().to_vec::<f32>(),
        };
        let read: std::result::Result<Vec<Vec<f32>>, _> = self.made.iter().map(words).collect();
        Ok((self.arrange)(read.map_err(|e| format!("burn returned something other than floats: {e:?}"))?))
    }
}

/// All variants in which burn computes `work`.
pub fn forms(device: &WgpuDevice, work: &Work, inputs: &Inputs) -> Vec<BurnForm> {
    match work {
        Work::Attention(s) => {
            let mut forms: Vec<BurnForm> = [true, false].map(|own| attention_form(device, *s, inputs, own)).into();
            forms.push(flash_form(device, *s, inputs));
            forms
        }
        Work::AttentionGradient(s) => [true, false].map(|own| gradient_form(device, *s, inputs, own)).into(),
        Work::Product(s) => [true, false]
            .map(|as_given| {
                let x = matrix(device, &inputs.x, [s.rows, s.inner]);
                let weight = weight(device, &inputs.weight, [s.columns, s.inner], as_given);
                let name =
                    if as_given { "x·Wᵀ, W transposed by strides" } else { "x·W, W stored (inner, columns)" };
                let call = move || {
                    let weight = if as_given { weight.clone().transpose() } else { weight.clone() };
                    vec![Made::Matrix(x.clone().matmul(weight))]
                };
                form(name, device, call, |read| read)
            })
            .into(),
        Work::InputGradient(s) => [true, false]
            .map(|as_given| {
                let d_y = matrix(device, &inputs.d_y, [s.rows, s.columns]);
                let weight = weight(device, &inputs.weight, [s.columns, s.inner], as_given);
                let name = if as_given { "d_y·W" } else { "d_y·Wᵀ, W stored (inner, columns)" };
                let call = move || {
                    let weight = if as_given { weight.clone() } else { weight.clone().transpose() };
                    vec![Made::Matrix(d_y.clone().matmul(weight))]
                };
                form(name, device, call, |read| read)
            })
            .into(),
        Work::WeightGradient(s) => [true, false]
            .map(|as_ours| {
                let x = matrix(device, &inputs.x, [s.rows, s.inner]);
                let d_y = matrix(device, &inputs.d_y, [s.rows, s.columns]);
                let name = if as_ours { "d_yᵀ·x" } else { "xᵀ·d_y" };
                let call = move || {
                    let (x, d_y) = (x.clone(), d_y.clone());
                    let d_bias = Made::Matrix(d_y.clone().sum_dim(0));
                    let d_weight = if as_ours { d_y.transpose().matmul(x) } else { x.transpose().matmul(d_y) };
                    vec![Made::Matrix(d_weight), d_bias]
                };
                let (inner, columns) = (s.inner, s.columns);
                let arrange = move |read: Vec<Vec<f32>>| match read.as_slice() {
                    [d_weight, d_bias] if !as_ours => vec![transposed(d_weight, inner, columns), d_bias.clone()],
                    _ => read,
                };
                form(name, device, call, arrange)
            })
            .into(),
    }
}

fn form(
    name: &'static str,
    device: &WgpuDevice,
    call: impl Fn() -> Vec<Made> + 'static,
    arrange: impl Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>> + 'static,
) -> BurnForm {
    BurnForm { name, device: device.clone(), call: Box::new(call), arrange: Box::new(arrange), made: Vec::new() }
}

fn matrix(device: &WgpuDevice, values: &[f32], sizes: [usize; 2]) -> Tensor<Wgpu, 2> {
    Tensor::from_data(TensorData::new(values.to_vec(), sizes), device)
}

/// Weight as given, (columns, inner), or stored transposed.
fn weight(device: &WgpuDevice, values: &[f32], [columns, inner]: [usize; 2], as_given: bool) -> Tensor<Wgpu, 2> {
    if as_given {
        return matrix(device, values, [columns, inner]);
    }
    matrix(device, &transposed(values, columns, inner), [inner, columns])
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// One third of rows of `thirds` thirds, (B·T, thirds·C), as (B, H, T, D).
fn to_heads(rows: &[f32], s: &Heads, thirds: usize, third: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(s.b * s.h * s.t * s.d);
    for sample in 0..s.b {
        for head in 0..s.h {
            for position in 0..s.t {
                let at = (((sample * s.t + position) * thirds + third) * s.h + head) * s.d;
                values.extend_from_slice(&rows[at..at + s.d]);
            }
        }
    }
    values
}

/// `n` tensors (B, H, T, D) concatenated along the channels, as rows (B·T, n·C).
fn to_rows(tensors: &[Vec<f32>], s: &Heads) -> Vec<f32> {
    let mut values = Vec::with_capacity(tensors.len() * s.b * s.h * s.t * s.d);
    for sample in 0..s.b {
        for position in 0..s.t {
            for tensor in tensors {
                for head in 0..s.h {
                    let at = ((sample * s.h + head) * s.t + position) * s.d;
                    values.extend_from_slice(&tensor[at..at + s.d]);
                }
            }
        }
    }
    values
}

/// q, k and v as separate tensors (B, H, T, D), the fastest layout for burn.
fn thirds<B: Backend>(device: &B::Device, s: &Heads, inputs: &Inputs) -> [Tensor<B, 4>; 3] {
    [0, 1, 2].map(|third| {
        let values = to_heads(&inputs.x, s, 3, third);
        Tensor::from_data(TensorData::new(values, [s.b, s.h, s.t, s.d]), device)
    })
}

/// Causal mask (1, 1, T, T): 0 for j ≤ i, −∞ otherwise.
fn mask<B: Backend>(device: &B::Device, t: usize) -> Tensor<B, 4> {
    let sees = |i: usize, j: usize| if j <= i { 0.0 } else { f32::NEG_INFINITY };
    let values: Vec<f32> = (0..t).flat_map(|i| (0..t).map(move |j| sees(i, j))).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, t, t]), device)
}

const OWN: &str = "its attention operation";
const PRODUCTS: &str = "softmax(q·kᵀ/√D + mask)·v";

/// softmax(q kᵀ / √D + mask) v, by burn's attention operation or written out.
fn causal<B: Backend>([q, k, v]: [Tensor<B, 4>; 3], mask: &Tensor<B, 4>, own: bool) -> Tensor<B, 4> {
    if own {
        return attention(q, k, v, None, None, AttentionModuleOptions { is_causal: true, ..Default::default() });
    }
    let [_, _, _, d] = q.dims();
    let scores = q.matmul(k.transpose()).mul_scalar(1.0 / (d as f64).sqrt()) + mask.clone();
    softmax(scores, 3).matmul(v)
}

fn attention_form(device: &WgpuDevice, s: Heads, inputs: &Inputs, own: bool) -> BurnForm {
    let (thirds, mask) = (thirds::<Wgpu>(device, &s, inputs), mask::<Wgpu>(device, s.t));
    let call = move || vec![Made::Heads(causal(thirds.clone(), &mask, own))];
    form(if own { OWN } else { PRODUCTS }, device, call, move |read| vec![to_rows(&read, &s)])
}

/// burn's flash attention without tensor cores or subgroups, which its autotuning excludes if any other kernel runs.
fn flash_form(device: &WgpuDevice, s: Heads, inputs: &Inputs) -> BurnForm {
    let thirds = thirds::<Bare>(device, &s, inputs);
    let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
    let call = move || {
        let [q, k, v] = thirds.clone().map(|third| third.into_primitive().tensor());
        // An unsupported shape gives no output, which the check detects.
        let out = attention_by(q, k, v, None, None, options, AttentionStrategy::FlashUnit);
        out.into_iter().map(|out| Made::Bare(Tensor::from_primitive(TensorPrimitive::Float(out)))).collect()
    };
    form("its flash attention, picked by hand", device, call, move |read| vec![to_rows(&read, &s)])
}

fn gradient_form(device: &WgpuDevice, s: Heads, inputs: &Inputs, own: bool) -> BurnForm {
    let thirds = thirds::<Tracked>(device, &s, inputs).map(Tensor::require_grad);
    let mask = mask::<Tracked>(device, s.t);
    let call = move || {
        let out = causal(thirds.clone(), &mask, own);
        // burn starts from a gradient of ones.
        let gradients = out.backward();
        let of = |third: &Tensor<Tracked, 4>| third.grad(&gradients).map(Made::Heads);
        std::iter::once(Made::Heads(out.inner())).chain(thirds.iter().filter_map(of)).collect()
    };
    let arrange = move |read: Vec<Vec<f32>>| match read.split_first() {
        Some((out, gradients)) => vec![to_rows(std::slice::from_ref(out), &s), to_rows(gradients, &s)],
        None => read,
    };
    form(if own { OWN } else { PRODUCTS }, device, call, arrange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_go_there_and_back() {
        let s = Heads { b: 2, h: 3, t: 4, d: 5 };
        let rows: Vec<f32> = (0..3 * s.b * s.t * s.h * s.d).map(|i| i as f32).collect();
        let thirds: Vec<Vec<f32>> = (0..3).map(|third| to_heads(&rows, &s, 3, third)).collect();
        assert_eq!(to_rows(&thirds, &s), rows);
        // Sample 1, head 2, position 3 of k, first element.
        assert_eq!(thirds[1][((3 + 2) * 4 + 3) * 5], rows[(((4 + 3) * 3 + 1) * 3 + 2) * 5]);
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
