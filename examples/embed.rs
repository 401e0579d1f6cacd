//! Causal attention inside another wgpu application: its device, its buffers, its encoder.
//!
//! The plan is recorded once; each frame replays it into a pass of the application's own, which allocates nothing and
//! submits nothing.
//!
//! cargo run --release --example embed

use ketformer::gpu::{Gpu, Plan};
use ketformer::kernels::attention::{AttentionForward, AttentionShape};
use ketformer::wgpu;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What the application has anyway. Default limits and no features are enough; with `Features::SUBGROUP` the faster
    // kernels are chosen.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let required_features = adapter.features() & wgpu::Features::SUBGROUP;
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;

    let shape = AttentionShape::causal(64, 16, 8, 4);
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

    // Once: check, compile, bind.
    let mut plan = Plan::new(&Gpu::from_device(&device, &queue));
    let attention = AttentionForward { qkv: (&qkv).into(), out: (&out).into(), lse: (&lse).into() };
    attention.record(&mut plan, &shape)?;

    // Every frame.
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
