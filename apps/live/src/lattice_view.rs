//! Lattices drawn by a pipeline of the app from the buffers that the trainer writes, without reading them back.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use eframe::egui::{Pos2, Rect, Vec2, pos2, vec2};
use egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor};
use ketformer::gpu::View;
use ketformer::physics::Lattice;
use ketformer::vmc::SharedViews;
use ketformer::wgpu;

/// What the colors of atoms mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Occupations of a sample, which fades into the next one.
    Samples {
        /// Sample and the following one.
        pair: [u32; 2],
        /// Fraction of the second one.
        blend: f32,
    },
    /// Mean occupations.
    Densities,
    /// Correlations with the selected site.
    Correlations,
    /// Attention of a head from the selected site.
    Attention {
        /// Layer.
        layer: usize,
        /// Head.
        head: u32,
    },
}

/// Where the sites of a lattice are on the screen.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// Center of site (0, 0), in points.
    pub origin: Pos2,
    /// Distance of neighbors, in points.
    pub spacing: f32,
    lattice: Lattice,
}

impl Placement {
    /// The lattice centered in `rect`, with half a spacing around it. x increases to the right, y downward.
    pub fn new(lattice: Lattice, rect: Rect) -> Self {
        let sides = vec2(lattice.lx as f32, lattice.ly as f32);
        let spacing = (rect.width() / sides.x).min(rect.height() / sides.y);
        let origin = rect.center() - 0.5 * spacing * (sides - Vec2::splat(1.0));
        Self { origin, spacing, lattice }
    }

    /// Center of a site.
    pub fn site(&self, site: usize) -> Pos2 {
        let (x, y) = self.lattice.position(site);
        self.origin + self.spacing * vec2(x as f32, y as f32)
    }

    /// The site within half a spacing of `at`.
    pub fn site_at(&self, at: Pos2) -> Option<usize> {
        let place = (at - self.origin) / self.spacing;
        let (x, y) = (place.x.round(), place.y.round());
        let is_inside = x >= 0.0 && y >= 0.0 && (x as usize) < self.lattice.lx && (y as usize) < self.lattice.ly;
        is_inside.then(|| x as usize * self.lattice.ly + y as usize)
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Uniform {
    origin: [f32; 2],
    spacing: f32,
    radius: f32,
    size: [f32; 2],
    sides: [u32; 2],
    mode: u32,
    site: u32,
    before: u32,
    after: u32,
    blend: f32,
    head: u32,
    positions: u32,
    padding: u32,
}

/// Maximum number of lattices in a frame.
const SLOTS: u32 = 64;
/// Distance of their uniforms, the default alignment of dynamic offsets.
const STRIDE: u32 = 256;

/// Pipelines, kept in the resources of egui's renderer.
struct Pipelines {
    atoms: wgpu::RenderPipeline,
    bonds: wgpu::RenderPipeline,
    uniforms: wgpu::Buffer,
    uniform_group: wgpu::BindGroup,
    shared_layout: wgpu::BindGroupLayout,
    attention_layout: wgpu::BindGroupLayout,
}

/// Buffers of a trainer, bound for the pipelines.
pub struct Scene {
    lattice: Lattice,
    positions: u32,
    shared: wgpu::BindGroup,
    /// One for each layer; one without weights if there are none.
    attention: Vec<wgpu::BindGroup>,
}

fn buffer_entry(binding: u32, ty: wgpu::BufferBindingType, has_offset: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::VERTEX,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: has_offset, min_binding_size: None },
        count: None,
    }
}

fn bind(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    buffers: &[wgpu::BindingResource<'_>],
) -> wgpu::BindGroup {
    let entries: Vec<_> = buffers
        .iter()
        .enumerate()
        .map(|(binding, resource)| wgpu::BindGroupEntry { binding: binding as u32, resource: resource.clone() })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some("lattice"), layout, entries: &entries })
}

fn range(view: &View) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: view.wgpu(),
        offset: view.offset(),
        size: std::num::NonZeroU64::new(view.bytes()),
    })
}

/// Creates the pipelines in the resources of egui's renderer.
pub fn install(render: &egui_wgpu::RenderState) {
    let device = &render.device;
    let module = device.create_shader_module(wgpu::include_wgsl!("lattice.wgsl"));
    let read = wgpu::BufferBindingType::Storage { read_only: true };
    let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("lattice"), entries })
    };
    let uniform_layout = layout(&[buffer_entry(0, wgpu::BufferBindingType::Uniform, true)]);
    let shared_layout = layout(&[0, 1, 2].map(|binding| buffer_entry(binding, read, false)));
    let attention_layout = layout(&[0, 1].map(|binding| buffer_entry(binding, read, false)));
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("lattice"),
        bind_group_layouts: &[Some(&uniform_layout), Some(&shared_layout), Some(&attention_layout)],
        immediate_size: 0,
    });
    let pipeline = |vertex: &str, fragment: &str| {
        device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(vertex),
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some(vertex),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState { topology: wgpu::PrimitiveTopology::TriangleStrip, ..Default::default() },
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some(fragment),
                compilation_options: Default::default(),
                targets: &[Some(wgpu::ColorTargetState {
                    format: render.target_format,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            multiview_mask: None,
            cache: None,
        })
    };
    let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("lattice"),
        size: u64::from(SLOTS * STRIDE),
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let uniform = wgpu::BufferBinding {
        buffer: &uniforms,
        offset: 0,
        size: std::num::NonZeroU64::new(size_of::<Uniform>() as u64),
    };
    let pipelines = Pipelines {
        atoms: pipeline("atom", "atom_color"),
        bonds: pipeline("bond", "bond_color"),
        uniform_group: bind(device, &uniform_layout, &[wgpu::BindingResource::Buffer(uniform)]),
        uniforms,
        shared_layout,
        attention_layout,
    };
    render.renderer.write().callback_resources.insert(pipelines);
}

impl Scene {
    /// Binds `views` of a trainer on `lattice`, whose patch at each position of a sequence has the sites `patches`.
    pub fn new(render: &egui_wgpu::RenderState, lattice: Lattice, views: &SharedViews, patches: &[Vec<usize>]) -> Self {
        let renderer = render.renderer.read();
        let pipelines: &Pipelines = renderer.callback_resources.get().expect("installed with the app");
        let device = &render.device;
        let shared = [&views.samples, &views.densities, &views.correlations].map(range);
        let mut position_of = vec![0u32; lattice.sites().max(4)];
        for (position, sites) in patches.iter().enumerate() {
            sites.iter().for_each(|&site| position_of[site] = position as u32);
        }
        let positions = wgpu::util::DeviceExt::create_buffer_init(
            device,
            &wgpu::util::BufferInitDescriptor {
                label: Some("positions"),
                contents: bytemuck::cast_slice(&position_of),
                usage: wgpu::BufferUsages::STORAGE,
            },
        );
        let bound = |weights: &View| {
            bind(device, &pipelines.attention_layout, &[range(weights), positions.as_entire_binding()])
        };
        let attention = match views.attention.is_empty() {
            true => vec![bound(&views.densities)],
            false => views.attention.iter().map(bound).collect(),
        };
        Self {
            lattice,
            positions: patches.len() as u32,
            shared: bind(device, &pipelines.shared_layout, &shared),
            attention,
        }
    }
}

/// A lattice to draw.
pub struct LatticePaint {
    /// What to draw from.
    pub scene: Arc<Scene>,
    /// Where.
    pub placement: Placement,
    /// Meaning of the colors.
    pub mode: Mode,
    /// Selected site.
    pub site: Option<usize>,
    /// Number of the lattice in the frame.
    pub slot: u32,
}

impl LatticePaint {
    fn layer(&self) -> usize {
        match self.mode {
            Mode::Attention { layer, .. } => layer,
            _ => 0,
        }
    }
}

/// Radius of an atom in units of the spacing.
pub const RADIUS: f32 = 0.26;

impl CallbackTrait for LatticePaint {
    fn prepare(
        &self,
        _: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(Pipelines { uniforms, .. }) = resources.get() else { return Vec::new() };
        let scale = screen.pixels_per_point;
        let ([before, after], blend) = match self.mode {
            Mode::Samples { pair, blend } => (pair, blend),
            _ => ([0, 0], 0.0),
        };
        let (mode, head) = match self.mode {
            Mode::Samples { .. } => (0, 0),
            Mode::Densities => (1, 0),
            Mode::Correlations => (2, 0),
            Mode::Attention { head, .. } => (3, head),
        };
        let Placement { origin, spacing, .. } = self.placement;
        let origin = pos2(scale * origin.x, scale * origin.y);
        let uniform = Uniform {
            origin: origin.into(),
            spacing: scale * spacing,
            radius: scale * spacing * RADIUS,
            size: screen.size_in_pixels.map(|size| size as f32),
            sides: [self.scene.lattice.lx as u32, self.scene.lattice.ly as u32],
            mode,
            site: self.site.map_or(u32::MAX, |site| site as u32),
            before,
            after,
            blend,
            head,
            positions: self.scene.positions,
            padding: 0,
        };
        queue.write_buffer(uniforms, u64::from(self.slot % SLOTS * STRIDE), bytemuck::bytes_of(&uniform));
        Vec::new()
    }

    fn paint(
        &self,
        info: eframe::egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(pipelines) = resources.get::<Pipelines>() else { return };
        // Positions are those of the whole screen, because egui cuts the viewport of what is scrolled out of it.
        let [width, height] = info.screen_size_px.map(|size| size as f32);
        pass.set_viewport(0.0, 0.0, width, height, 0.0, 1.0);
        pass.set_bind_group(0, &pipelines.uniform_group, &[self.slot % SLOTS * STRIDE]);
        pass.set_bind_group(1, &self.scene.shared, &[]);
        pass.set_bind_group(2, &self.scene.attention[self.layer().min(self.scene.attention.len() - 1)], &[]);
        let sites = self.scene.lattice.sites() as u32;
        if matches!(self.mode, Mode::Attention { .. }) && self.site.is_some() {
            pass.set_pipeline(&pipelines.bonds);
            pass.draw(0..4, 0..sites);
        }
        pass.set_pipeline(&pipelines.atoms);
        pass.draw(0..4, 0..sites);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_on_an_atom_selects_it() {
        let lattice = Lattice::square(4, 2);
        let rect = Rect::from_min_size(pos2(10.0, 20.0), vec2(400.0, 300.0));
        let placement = Placement::new(lattice, rect);
        assert_eq!(placement.spacing, 100.0);
        for site in 0..lattice.sites() {
            let at = placement.site(site) + vec2(20.0, -30.0);
            assert_eq!(placement.site_at(at), Some(site));
        }
        assert_eq!(placement.site_at(rect.center_bottom()), None);
    }
}
