//! Test cases of kernels: known inputs and an f64 reference.

use std::collections::BTreeMap;

use super::comparison::{Comparison, Expected, POISON, measure};
use super::record::CaseBuffers;
use super::variant::Variant;
use crate::error::Result;
use crate::gpu::{Buffer, DType, Gpu, Kernel, Plan};

/// Kernel with its summary and test cases.
pub struct Entry {
    /// Name and WGSL source.
    pub kernel: &'static Kernel,
    /// Formula in one line.
    pub summary: &'static str,
    /// Returns the test cases for an adapter: inputs, f64 results and tolerances. Empty if the adapter cannot run the
    /// kernel.
    pub cases: fn(&Gpu) -> Vec<Case>,
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
        let mut buffers: BTreeMap<&'static str, Buffer> = BTreeMap::new();
        for (name, values) in &self.inputs {
            let buffer = match values {
                Values::F32(values) => gpu.upload(name, values)?,
                Values::U32(values) => gpu.upload(name, values)?,
                Values::F16(values) => {
                    let buffer = gpu.buffer_of(name, values.len() as u64, DType::F16)?;
                    let even = values.iter().map(|value| value.to_bits()).chain((values.len() % 2 == 1).then_some(0));
                    buffer.write(gpu, &even.collect::<Vec<u16>>())?;
                    buffer
                }
            };
            buffers.insert(*name, buffer);
        }
        for (name, expected) in &self.outputs {
            if !buffers.contains_key(name) {
                let buffer = gpu.buffer_of(name, expected.len() as u64, expected.storage())?;
                buffer.write(gpu, &vec![POISON; expected.words()])?;
                buffers.insert(*name, buffer);
            }
        }
        let views = buffers.iter().map(|(name, buffer)| (*name, buffer.view())).collect();
        let buffers = CaseBuffers { views, stand_in: None };
        let mut plan = Plan::new(gpu);
        (self.record)(&mut plan, &buffers)?;
        plan.run()?;
        self.outputs.iter().map(|(name, expected)| buffers.view(name)?.read(gpu, expected.words())).collect()
    }

    /// Compares the words returned by [`Case::run`] with the reference.
    pub fn compare(&self, words: &[Vec<u32>]) -> Vec<Comparison> {
        self.outputs.iter().zip(words).map(|((name, expected), words)| measure(name, words, expected)).collect()
    }
}
