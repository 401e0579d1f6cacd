//! Training in the frame loop of an application with its own window and device: the atoms of a 4x4 array, drawn from the
//! buffers that the kernels write.
//!
//! Each frame records at most 4 ms of training into its encoder, in front of its render pass. Neither waits for the other.
//!
//! cargo run --release --example embed_live

use std::error::Error;
use std::sync::Arc;

use ketformer::gpu::Gpu;
use ketformer::vmc::{Budget, SharedConfig, SharedViews};
use ketformer::{Lattice, Ptf, Rydberg, TrainConfig, Trainer, wgpu};
use winit::application::ApplicationHandler;
use winit::dpi::LogicalSize;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::window::{Window, WindowId};

const SIDE: u32 = 4;

/// An instance is a site: the brightness is its mean occupation, and a white ring marks an atom that the first of the
/// newest samples excites.
const SHADER: &str = "
    struct Site { @builtin(position) clip: vec4<f32>, @location(0) at: vec2<f32>, @location(1) density: f32,
        @location(2) occupied: f32 }
    @vertex fn corner(@builtin(vertex_index) corner: u32, @builtin(instance_index) site: u32,
        @location(0) density: f32, @location(1) occupied: u32) -> Site {
        let at = vec2(f32(corner & 1u), f32(corner >> 1u)) * 2.0 - 1.0;
        let place = (vec2(f32(site / 4u), f32(site % 4u)) - 1.5) / 2.2;
        return Site(vec4(place + 0.19 * at, 0.0, 1.0), at, density, f32(occupied));
    }
    @fragment fn color(site: Site) -> @location(0) vec4<f32> {
        let radius = length(site.at);
        if (radius > 1.0) { discard; }
        let ring = site.occupied * step(0.85, radius);
        return vec4(mix(mix(vec3(0.04, 0.06, 0.16), vec3(1.0, 0.55, 0.1), site.density), vec3(1.0), ring), 1.0);
    }";

/// Everything that depends on the window.
struct Frames {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    configuration: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    trainer: Trainer,
    views: SharedViews,
}

impl Frames {
    fn new(window: Arc<Window>) -> Result<Self, Box<dyn Error>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let surface = instance.create_surface(window.clone())?;
        let options = wgpu::RequestAdapterOptions { compatible_surface: Some(&surface), ..Default::default() };
        let adapter = pollster::block_on(instance.request_adapter(&options))?;
        // All optional: faster kernels, exact times of slices, larger buffers.
        let (required_features, required_limits) = Gpu::required(&adapter);
        let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        let size = window.inner_size();
        let configuration = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or("the adapter cannot present to this window")?;
        surface.configure(&device, &configuration);

        let gpu = Gpu::from_device(&device, &queue);
        let model = Ptf { width: 32, heads: 4, feed_forward: 64, ..Ptf::default() };
        let config = TrainConfig { learning_rate: 3e-3, ..TrainConfig::default() };
        let lattice = Lattice::square(SIDE as usize, SIDE as usize);
        let mut trainer = Trainer::new(&gpu, &lattice, &Rydberg::default(), &model, config)?;
        let usages = wgpu::BufferUsages::VERTEX;
        let views = trainer.share(&SharedConfig { usages, attention_samples: 0, ..SharedConfig::default() })?;
        let pipeline = pipeline(&device, configuration.format);
        Ok(Self { window, surface, configuration, device, queue, pipeline, trainer, views })
    }

    fn resize(&mut self, width: u32, height: u32) {
        // A minimized window has no pixels.
        if width > 0 && height > 0 {
            (self.configuration.width, self.configuration.height) = (width, height);
            self.surface.configure(&self.device, &self.configuration);
        }
    }

    fn draw(&mut self) -> Result<(), Box<dyn Error>> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.trainer.advance(&mut encoder, Budget::milliseconds(4.0))?;
        let texture = match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(texture) | wgpu::CurrentSurfaceTexture::Suboptimal(texture) => {
                self.draw_sites(&mut encoder, &texture.texture.create_view(&Default::default()));
                Some(texture)
            }
            _ => None,
        };
        // Also without a picture, because the encoder has a slice of training.
        self.queue.submit([encoder.finish()]);
        match texture {
            Some(texture) => self.queue.present(texture),
            None => self.surface.configure(&self.device, &self.configuration),
        }
        while let Some(report) = self.trainer.poll()? {
            self.window.set_title(&format!("step {}: energy {:.4}", report.step, report.energy));
        }
        self.window.request_redraw();
        Ok(())
    }

    fn draw_sites(&self, encoder: &mut wgpu::CommandEncoder, target: &wgpu::TextureView) {
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_vertex_buffer(0, self.views.densities.wgpu().slice(..));
        pass.set_vertex_buffer(1, self.views.samples.wgpu().slice(..));
        pass.draw(0..4, 0..SIDE * SIDE);
    }
}

fn pipeline(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("sites"),
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    let of_site = |attributes| {
        let step_mode = wgpu::VertexStepMode::Instance;
        Some(wgpu::VertexBufferLayout { array_stride: 4, step_mode, attributes })
    };
    let [density, occupied] = [wgpu::vertex_attr_array![0 => Float32], wgpu::vertex_attr_array![1 => Uint32]];
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("sites"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            buffers: &[of_site(&density), of_site(&occupied)],
        },
        primitive: wgpu::PrimitiveState { topology: wgpu::PrimitiveTopology::TriangleStrip, ..Default::default() },
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}

struct App(Option<Frames>);

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        let attributes = Window::default_attributes().with_inner_size(LogicalSize::new(600, 600));
        let window = events.create_window(attributes).map_err(Into::into);
        let frames = window.and_then(|window| Frames::new(window.into()));
        self.0 = Some(frames.unwrap_or_else(|error| exit(&*error)));
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(frames) = &mut self.0 else { return };
        match event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::Resized(size) => frames.resize(size.width, size.height),
            WindowEvent::RedrawRequested => frames.draw().unwrap_or_else(|error| exit(&*error)),
            _ => {}
        }
    }
}

fn exit(error: &dyn Error) -> ! {
    eprintln!("{error}");
    std::process::exit(1)
}

fn main() -> Result<(), Box<dyn Error>> {
    Ok(EventLoop::new()?.run_app(&mut App(None))?)
}
