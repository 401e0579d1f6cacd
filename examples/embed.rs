//! Causal attention in another wgpu application, with the device, buffers and encoder of the application.
//!
//! The plan is recorded once. Each frame replays it into a compute pass of the application, without allocations or
//! submissions.
//!
//! cargo run --release --example embed

use ketformer::gpu::{Gpu, Plan};
use ketformer::kernels::attention::{AttentionForward, AttentionShape};
use ketformer::wgpu;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Device of the application. Default limits and no features are sufficient; those of `Gpu::required` enable faster
    // kernels.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (required_features, required_limits) = Gpu::required(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;

    let shape = AttentionShape { b: 64.into(), t: 16, h: 8, d: 4, causal: true, ..Default::default() };
    let (rows, width) = (64 * 16, 8 * 4);
    let storage = |elements: u64| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * elements,
            usage,
            mapped_at_creation: false,
        })
    };
    let (qkv, out, lse) = (storage(rows * 3 * width), storage(rows * width), storage(rows * 8));
    let values: Vec<f32> = (0..rows * 3 * width).map(|i| (i as f32 * 0.37).sin()).collect();
    queue.write_buffer(&qkv, 0, bytemuck::cast_slice(&values));

    // Once: validates, compiles and binds.
    let mut plan = Plan::new(&Gpu::from_device(&device, &queue));
    let attention = AttentionForward { qkv: (&qkv).into(), out: (&out).into(), lse: (&lse).into() };
    attention.record(&mut plan, &shape)?;

    // Every frame: replays.
    for _frame in 0..3 {
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            plan.replay(&mut pass);
        }
        queue.submit([encoder.finish()]);
    }
    let first: Vec<f32> = ketformer::gpu::View::from(&out).read(plan.gpu(), 4)?;
    println!("{} launches a frame; the first four outputs are {first:?}", plan.len());
    Ok(())
}
