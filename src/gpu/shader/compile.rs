//! Compilation of kernels by wgpu, cached on the device.

use std::borrow::Cow;
use std::sync::Arc;

use super::rewrite::TEXTURES;
use super::{Access, CompiledKernel, Kernel, KernelSource, Shader};
use crate::error::Result;
use crate::gpu::Bind;
use crate::gpu::Gpu;
use crate::gpu::device::KernelKey;

impl Kernel {
    /// Names of the bindings in `given` that are read as textures on this device.
    pub(in crate::gpu) fn textures(&self, gpu: &Gpu, given: &[Bind<'_>]) -> Vec<&'static str> {
        if !gpu.reads_texels() || !self.is_trusted() {
            return Vec::new();
        }
        let has_texture = |name: &&str| {
            given.iter().find(|bind| bind.name == *name).is_some_and(|bind| bind.view.texels(gpu).is_some())
        };
        let names = gpu.texel_bindings(self.name, || self.texel_bindings().collect());
        names.iter().copied().filter(has_texture).collect()
    }

    /// The pipeline for `spec` on this device, with `textures` read as textures. Cached after the first call.
    pub(in crate::gpu) fn compile(
        &self,
        gpu: &Gpu,
        spec: &[(&str, u32)],
        textures: &[&str],
    ) -> Result<Arc<CompiledKernel>> {
        let mut constants: Vec<(String, u32)> = spec.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        constants.sort();
        let KernelSource { name, source, shared } = self.source;
        let key = KernelKey {
            name,
            entry: self.entry(),
            source: (source.as_ptr() as usize, source.len()),
            shared: (shared.as_ptr() as usize, shared.len()),
            checked: self.is_checked(gpu),
            constants,
            textures: textures.iter().map(|name| name.to_string()).collect(),
        };
        gpu.compiled(key, || self.build(gpu, spec, textures))
    }

    /// Whether wgpu adds its bounds and loop checks.
    fn is_checked(&self, gpu: &Gpu) -> bool {
        gpu.checked_shaders() || !self.is_trusted()
    }

    fn build(&self, gpu: &Gpu, spec: &[(&str, u32)], textures: &[&str]) -> Result<CompiledKernel> {
        if !self.is_trusted() && gpu.unchecked_buffers() {
            let message = "is not a kernel of this crate and needs bounds checks, which the device was opened without; open \
                           it without GpuOptions::unchecked_buffers";
            return Err(self.error(message.into()));
        }
        let checked = self.is_checked(gpu);
        let shader = self.textured(spec, textures)?;
        let is_for_browser = gpu.info().backend == wgpu::Backend::BrowserWebGpu;
        let browser_text = is_for_browser.then(|| shader.browser_text());
        if shader.text.contains("enable f16;") {
            gpu.require_f16(|| format!("{}: the WGSL uses", self.name))?;
        }
        let Shader { text, reflection, .. } = shader;
        let storage_limit = gpu.limits().max_storage_buffers_per_shader_stage as usize;
        let is_storage = |(_, _, access): &&(u32, String, Access)| !matches!(access, Access::Uniform(_));
        let needed = reflection.bindings.iter().filter(is_storage).count();
        if needed > storage_limit {
            return Err(self.error(format!("binds {needed} storage buffers, this adapter allows {storage_limit}")));
        }
        let of_type = |binding: u32, ty: wgpu::BindingType| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        };
        let entry = |binding: u32, ty: wgpu::BufferBindingType| {
            of_type(binding, wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None })
        };
        let texture = wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: false },
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        };
        let mut entries: Vec<wgpu::BindGroupLayoutEntry> = reflection
            .bindings
            .iter()
            .map(|(number, _, access)| match access {
                Access::Read => entry(*number, wgpu::BufferBindingType::Storage { read_only: true }),
                Access::Write => entry(*number, wgpu::BufferBindingType::Storage { read_only: false }),
                Access::Uniform(_) => entry(*number, wgpu::BufferBindingType::Uniform),
            })
            .collect();
        entries.extend(reflection.textures.iter().map(|number| of_type(number + TEXTURES, texture)));
        entries.extend(reflection.params_binding.map(|(number, _)| entry(number, wgpu::BufferBindingType::Uniform)));
        let device = gpu.device();
        let (layout, pipeline) = gpu.guarded(self.name, || {
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(self.name),
                source: wgpu::ShaderSource::Wgsl(Cow::Owned(browser_text.unwrap_or(text))),
            };
            let module = if checked {
                device.create_shader_module(descriptor)
            } else {
                // SAFETY: the kernel is from `Kernel::trusted`, so that its source belongs to this crate, and so does the
                // code that launches it, because no public function returns such a kernel. These kernels index within the
                // element counts that the plan checked against the bound ranges, and their loops terminate.
                unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
            };
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(self.name),
                entries: &entries,
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(self.name),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(self.name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(self.entry()),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: checked,
                    ..Default::default()
                },
                cache: None,
            });
            (layout, pipeline)
        })?;
        let spec = spec.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        Ok(CompiledKernel { pipeline, layout, reflection, spec })
    }
}
