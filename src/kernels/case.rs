//! Test cases of kernels: known inputs and an f64 reference.

use std::collections::BTreeMap;

use super::comparison::{Comparison, Expected, POISON};
use super::record::CaseBuffers;
use super::variant::Variant;
use crate::error::Result;
use crate::gpu::{DType, Gpu, Kernel, Plan, View};

/// Kernel with its summary and test cases.
pub struct Entry {
    pub(crate) kernel: &'static Kernel,
    /// Formula in one line.
    pub summary: &'static str,
    /// Returns the test cases for an adapter: inputs, f64 results and tolerances. Empty if the adapter cannot run the
    /// kernel.
    pub cases: fn(&Gpu) -> Vec<Case>,
}

impl Entry {
    /// Name and WGSL source. A launch of the returned kernel is compiled with all checks of WebGPU.
    pub fn kernel(&self) -> Kernel {
        self.kernel.checked()
    }
}

/// Input values of a case.
#[derive(Debug, Clone)]
pub enum Values {
    /// Floats.
    F32(Vec<f32>),
    /// Unsigned integers.
    U32(Vec<u32>),
    /// 16-bit floats.
    F16(Vec<half::f16>),
}

impl From<Vec<half::f16>> for Values {
    fn from(values: Vec<half::f16>) -> Self {
        Self::F16(values)
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl From<Vec<u32>> for Values {
    fn from(values: Vec<u32>) -> Self {
        Self::U32(values)
    }
}

/// Values as the f64 of references.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Records the kernel under test on a plan.
pub(super) type Record = Box<dyn Fn(&mut Plan, &CaseBuffers) -> Result<()>>;

/// Test case of a kernel.
pub struct Case {
    /// Human-readable shape.
    pub name: String,
    /// Input buffers and their values. A buffer that is also an output is updated in place.
    pub inputs: Vec<(&'static str, Values)>,
    /// Output buffers to compare. They are filled with NaN before the run unless they are also inputs.
    pub outputs: Vec<(&'static str, Expected)>,
    /// Records the kernel.
    pub record: Record,
}

impl Case {
    /// Returns the same case with the name of the variant appended to its name.
    pub(super) fn of_variant(self, variant: &Variant) -> Self {
        Self { name: format!("{} [{}]", self.name, variant.name), ..self }
    }

    /// Name of the variant that the case runs, if the kernel has several.
    pub fn variant(&self) -> Option<&str> {
        self.name.strip_suffix(']')?.rsplit_once(" [").map(|(_, variant)| variant)
    }

    /// Runs the case and returns the raw words of each output.
    ///
    /// # Errors
    /// Any error of recording or of the device.
    pub fn run(&self, gpu: &Gpu) -> Result<Vec<Vec<u32>>> {
        gpu.block_on(self.run_async(gpu))
    }

    /// As [`Case::run`], without blocking.
    ///
    /// # Errors
    /// As [`Case::run`].
    pub async fn run_async(&self, gpu: &Gpu) -> Result<Vec<Vec<u32>>> {
        let mut kept = Vec::new();
        let create = |name, elements, storage| {
            let buffer = gpu.buffer_of(name, elements, storage)?;
            kept.push(buffer);
            Ok(kept[kept.len() - 1].view())
        };
        self.run_in(gpu, create).await
    }

    /// Runs the case in buffers that hold exactly the elements of its inputs and outputs in 32-bit words, without the
    /// padding of [`Gpu::buffer`].
    ///
    /// # Errors
    /// As [`Case::run`], and [`crate::ErrorKind::Shape`] if a kernel needs a longer buffer.
    pub fn run_unpadded(&self, gpu: &Gpu) -> Result<Vec<Vec<u32>>> {
        let create = |name: &'static str, elements: u64, storage: DType| {
            let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(name),
                size: (elements * storage.bytes()).next_multiple_of(4).max(4),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            Ok(View::from(&buffer).stored_as(storage))
        };
        gpu.block_on(self.run_in(gpu, create))
    }

    /// Runs the case in the buffers that `create` returns for a name, a number of elements and their type.
    async fn run_in(
        &self,
        gpu: &Gpu,
        mut create: impl FnMut(&'static str, u64, DType) -> Result<View>,
    ) -> Result<Vec<Vec<u32>>> {
        let mut views: BTreeMap<&'static str, View> = BTreeMap::new();
        for (name, values) in &self.inputs {
            let view = match values {
                Values::F32(values) => {
                    let view = create(name, values.len() as u64, DType::F32)?;
                    view.write(gpu, values)?;
                    view
                }
                Values::U32(values) => {
                    let view = create(name, values.len() as u64, DType::F32)?;
                    view.write(gpu, values)?;
                    view
                }
                Values::F16(values) => {
                    let view = create(name, values.len() as u64, DType::F16)?;
                    let even = values.iter().map(|value| value.to_bits()).chain((values.len() % 2 == 1).then_some(0));
                    view.write(gpu, &even.collect::<Vec<u16>>())?;
                    view
                }
            };
            views.insert(*name, view);
        }
        for (name, expected) in &self.outputs {
            if !views.contains_key(name) {
                let view = create(name, expected.len() as u64, expected.storage())?;
                view.write(gpu, &vec![POISON; expected.words()])?;
                views.insert(*name, view);
            }
        }
        let buffers = CaseBuffers { views, stand_in: None };
        let mut plan = Plan::new(gpu);
        (self.record)(&mut plan, &buffers)?;
        plan.submit();
        let mut outputs = Vec::new();
        for (name, expected) in &self.outputs {
            outputs.push(buffers.view(name)?.read_async(gpu, expected.words()).await?);
        }
        Ok(outputs)
    }

    /// Compares the words returned by [`Case::run`] with the reference.
    pub fn compare(&self, words: &[Vec<u32>]) -> Vec<Comparison> {
        self.outputs.iter().zip(words).map(|((name, expected), words)| Comparison::new(name, words, expected)).collect()
    }
}
