//! Frames of the app without a window, painted into a texture.

use eframe::egui::{self, Event, Pos2, Rect, vec2};
use egui_wgpu::{RenderState, RendererOptions, ScreenDescriptor};
use ketformer::wgpu;

use crate::app::LiveApp;
use crate::device;
use crate::settings::Settings;
use crate::storage::Saved;

/// The app with a texture in place of a window.
pub struct Headless {
    /// The app.
    pub app: LiveApp,
    context: egui::Context,
    render: RenderState,
    texture: wgpu::Texture,
    size: [u32; 2],
    scale: f32,
}

impl Headless {
    /// The app in a space of `size` points, with `scale` pixels per point, and `settings` or the defaults.
    ///
    /// # Errors
    /// A message if there is no adapter.
    pub fn new(size: [u32; 2], scale: f32, settings: Option<Settings>) -> Result<Self, String> {
        let configuration = device::configuration();
        let instance = pollster::block_on(configuration.wgpu_setup.new_instance());
        let render = RenderState::create(&configuration, &instance, None, RendererOptions::default());
        let render = pollster::block_on(render).map_err(|error| error.to_string())?;
        let context = egui::Context::default();
        let app = LiveApp::new(&context, render.clone(), settings.map(Saved::begin), None);
        let pixels = size.map(|side| (side as f32 * scale) as u32);
        let texture = render.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("frame"),
            size: wgpu::Extent3d { width: pixels[0], height: pixels[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: render.target_format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        Ok(Self { app, context, render, texture, size, scale })
    }

    /// Width and height in pixels.
    pub fn pixels_size(&self) -> [u32; 2] {
        [self.texture.width(), self.texture.height()]
    }

    /// Trains for a frame without painting it. Waits for the device.
    pub fn work(&mut self) {
        self.app.work(&self.context);
        self.render.device.poll(wgpu::PollType::wait_indefinitely()).ok();
    }

    /// A frame at `time` seconds. Waits for the device, so that frames do not pile up.
    pub fn frame(&mut self, time: f64, events: Vec<Event>) {
        let size = vec2(self.size[0] as f32, self.size[1] as f32);
        let mut input = egui::RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, size)),
            time: Some(time),
            events,
            ..Default::default()
        };
        input.viewports.entry(egui::ViewportId::ROOT).or_default().native_pixels_per_point = Some(self.scale);
        self.app.work(&self.context);
        let app = &mut self.app;
        let output = self.context.run_ui(input, |ui| app.show(ui));
        self.paint(output);
    }

    fn paint(&self, output: egui::FullOutput) {
        let (device, queue) = (&self.render.device, &self.render.queue);
        let jobs = self.context.tessellate(output.shapes, output.pixels_per_point);
        let screen = ScreenDescriptor { size_in_pixels: self.pixels_size(), pixels_per_point: output.pixels_per_point };
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut renderer = self.render.renderer.write();
        for (id, deltas) in &output.textures_delta.set {
            deltas.iter().for_each(|delta| renderer.update_texture(device, queue, *id, delta));
        }
        let buffers = renderer.update_buffers(device, queue, &mut encoder, &jobs, &screen);
        let view = self.texture.create_view(&Default::default());
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("frame"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
                depth_slice: None,
            })],
            ..Default::default()
        });
        renderer.render(&mut pass.forget_lifetime(), &jobs, &screen);
        queue.submit(buffers.into_iter().chain([encoder.finish()]));
        output.textures_delta.free.iter().for_each(|id| renderer.free_texture(id));
        device.poll(wgpu::PollType::wait_indefinitely()).ok();
    }

    /// The pixels of the newest frame, RGBA.
    pub fn pixels(&self) -> Vec<u8> {
        let [width, height] = self.pixels_size();
        let row = (4 * width).next_multiple_of(256);
        let device = &self.render.device;
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("pixels"),
            size: u64::from(row * height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
            },
            self.texture.size(),
        );
        self.render.queue.submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        device.poll(wgpu::PollType::wait_indefinitely()).ok();
        let Ok(mapped) = buffer.get_mapped_range(..) else { return Vec::new() };
        let is_swapped = self.texture.format() == wgpu::TextureFormat::Bgra8Unorm;
        let mut pixels = Vec::with_capacity((4 * width * height) as usize);
        for line in mapped.chunks(row as usize) {
            for pixel in line[..4 * width as usize].chunks(4) {
                let [a, b, c] = [pixel[0], pixel[1], pixel[2]];
                pixels.extend(if is_swapped { [c, b, a, 255] } else { [a, b, c, 255] });
            }
        }
        pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Couplings;

    /// Trains up to `steps` steps.
    fn train(headless: &mut Headless, steps: u64) {
        headless.app.limit_steps(steps);
        while !headless.app.is_at_limit() {
            headless.frame(0.0, Vec::new());
            assert_eq!(headless.app.error(), None);
        }
    }

    #[test]
    fn training_continues_with_couplings_that_vanish() {
        let settings = Settings { sides: [2, 2], samples: 64, layers: 1, ..Settings::default() };
        let mut headless = Headless::new([320, 240], 1.0, Some(settings)).unwrap();
        train(&mut headless, 3);
        for (delta, steps) in [(0.5, 6), (0.0, 9), (1.0, 12)] {
            headless.app.set_couplings(Couplings::Rydberg { delta, radius: 1.2, omega: 1.0 });
            train(&mut headless, steps);
        }
        assert_eq!(headless.app.state()["step"], 12);
    }
}
