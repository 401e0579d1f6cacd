//! burn with its wgpu backend and autotuning, with fusion and without; gradients by its Autodiff backend.
//!
//! Each benchmark has several variants, because burn offers several ways to write it. The comparison uses the fastest. They
//! call the operations of burn's backends, to which `Tensor` forwards after selecting a backend.

mod attention;
mod layer;

use burn_backend::tensor::FloatTensor;
use burn_backend::{Backend, TensorData, read_sync};
use burn_cubecl::cubecl::wgpu::WgpuDeviceKind;
use burn_cubecl::{CubeBackend, CubeDevice};
use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::{RuntimeOptions, Wgpu, WgpuBackend, WgpuDevice, try_init_setup};

use ketformer::gpu::{Gpu, adapters};
use ketformer::wgpu;

use crate::engine::{Form, Prepared, Result};
pub use attention::forms as attention_forms;
pub use layer::forms as layer_forms;

/// Backend with fusion, burn's default.
type Fused = Wgpu;

/// Backend with the same kernels but without fusion.
type Plain = CubeBackend;

/// Shader language to which burn compiles its kernels, if the driver supports it.
pub const COMPILER: &str = if cfg!(feature = "spirv") { "SPIR-V" } else { "WGSL" };

/// Opens the adapter of `gpu` with burn.
pub fn open(gpu: &Gpu) -> Result<CubeDevice> {
    let wanted = gpu.info();
    let same_kind = |info: &wgpu::AdapterInfo| (info.device_type, info.backend) == (wanted.device_type, wanted.backend);
    let is_wanted = |info: &wgpu::AdapterInfo| (&info.name, info.device) == (&wanted.name, wanted.device);
    let kind: Vec<wgpu::AdapterInfo> = adapters().into_iter().map(|a| a.info).filter(same_kind).collect();
    let index = kind.iter().position(is_wanted).unwrap_or(0);
    let kind = match wanted.device_type {
        wgpu::DeviceType::DiscreteGpu => WgpuDeviceKind::DiscreteGpu(index),
        wgpu::DeviceType::IntegratedGpu => WgpuDeviceKind::IntegratedGpu(index),
        wgpu::DeviceType::VirtualGpu => WgpuDeviceKind::VirtualGpu(index),
        wgpu::DeviceType::Cpu => WgpuDeviceKind::Cpu,
        wgpu::DeviceType::Other => WgpuDeviceKind::Other(index),
    };
    let backend = match wanted.backend {
        wgpu::Backend::Metal => WgpuBackend::Metal,
        wgpu::Backend::Dx12 => WgpuBackend::Dx12,
        wgpu::Backend::Gl => WgpuBackend::Gl,
        _ => WgpuBackend::Vulkan,
    };
    let device = WgpuDevice::new(kind).on(backend);
    let setup = try_init_setup::<AutoGraphicsApi>(&device, RuntimeOptions::default())
        .map_err(|e| format!("burn cannot open {}: {e}", wanted.name))?;
    let found = setup.adapter.get_info();
    if (&found.name, found.device) != (&wanted.name, wanted.device) {
        return Err(format!("burn opened {}, not {}; give another --adapter", found.name, wanted.name).into());
    }
    Ok(CubeDevice::Wgpu(device))
}

/// Conversion of the outputs to the layouts of the comparison.
type Arrange = Box<dyn Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>>>;

/// One way to compute a benchmark with burn.
struct BurnForm<B: Backend> {
    name: String,
    device: B::Device,
    call: Box<dyn Fn() -> Vec<FloatTensor<B>>>,
    arrange: Arrange,
    made: Vec<FloatTensor<B>>,
}

impl<B: Backend> Form for BurnForm<B> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, calls: usize) -> Result<()> {
        for _ in 0..calls {
            self.made = (self.call)();
        }
        B::sync(&self.device).map_err(|e| format!("burn could not wait: {e:?}").into())
    }

    fn read(&mut self) -> Result<Vec<Vec<f32>>> {
        let read = |tensor: &FloatTensor<B>| -> Result<Vec<f32>> {
            let data = read_sync(B::float_into_data(tensor.clone()));
            let data = data.map_err(|e| format!("burn could not read its output: {e:?}"))?;
            Ok(data.try_into_vec().map_err(|e| format!("burn returned something other than floats: {e:?}"))?)
        };
        let read: Result<Vec<Vec<f32>>> = self.made.iter().map(read).collect();
        Ok((self.arrange)(read?))
    }
}

/// A variant whose outputs have the layouts of the comparison.
fn form<B: Backend>(name: &str, device: &B::Device, call: impl Fn() -> Vec<FloatTensor<B>> + 'static) -> Prepared {
    arranged::<B>(name, device, call, |read| read)
}

fn arranged<B: Backend>(
    name: &str,
    device: &B::Device,
    call: impl Fn() -> Vec<FloatTensor<B>> + 'static,
    arrange: impl Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>> + 'static,
) -> Prepared {
    let form = BurnForm::<B> {
        name: name.into(),
        device: device.clone(),
        call: Box::new(call),
        arrange: Box::new(arrange),
        made: Vec::new(),
    };
    (name.into(), Ok(Box::new(form)))
}

fn tensor<B: Backend, const N: usize>(device: &B::Device, values: &[f32], sizes: [usize; N]) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values.to_vec(), sizes), device)
}
