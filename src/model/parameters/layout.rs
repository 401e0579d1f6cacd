//! Layout of parameters in flat buffers, their initial values, and the buffers on a device.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::StandardNormal;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, DType, Gpu, View};
use crate::kernels::linear::{GradientWidths, scratch_of_items};
use crate::kernels::nn::cast_f16::{LARGEST, WeightsCastF16};
use crate::model::{Precision, Tensor, Weights};

/// Initial values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Initial {
    /// Uniform in (−bound, bound).
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// The same value everywhere.
    Constant(f32),
    /// Copy of the parameter of that name, which is earlier in the layout.
    SameAs(String),
}

/// Specification of one parameter of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Name in a PyTorch state_dict.
    pub name: String,
    /// (outputs, inputs) for weights, (outputs) for the rest.
    pub shape: Vec<usize>,
    /// Initial values.
    pub initial: Initial,
}

/// Position of a parameter in the flat buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSlot {
    /// The parameter.
    pub spec: ParameterSpec,
    /// Index of the first element; a multiple of 128.
    pub first: u64,
    /// Number of elements.
    pub elements: u64,
}

/// Positions of all parameters of a model in the flat buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    slots: Vec<ParameterSlot>,
    /// Parameters that are always zero, after the others.
    zeros: Vec<ParameterSlot>,
    elements: u64,
}

impl ParameterSlot {
    /// Whether the parameter is a matrix, which has an f16 copy in [`Precision::Mixed`]; biases and norms have none.
    pub(crate) fn is_matrix(&self) -> bool {
        self.spec.shape.len() == 2
    }
}

impl Layout {
    /// Lays out the parameters one after the other, each at a multiple of 128 elements. In an f16 buffer these are
    /// multiples of 256 bytes, the alignment of bindings.
    pub fn new(specs: Vec<ParameterSpec>) -> Self {
        Self::with_zeros(specs, Vec::new())
    }

    /// Layout with parameters `zeros` that kernels read and no optimizer changes, such as the biases of a model without
    /// them. They are at the end of the buffers, and are not among [`Layout::slots`].
    pub(crate) fn with_zeros(specs: Vec<ParameterSpec>, zeros: Vec<ParameterSpec>) -> Self {
        let mut end = 0u64;
        let mut place = |spec: ParameterSpec| {
            let first = end.next_multiple_of(128);
            let elements = spec.shape.iter().product::<usize>() as u64;
            end = first + elements;
            ParameterSlot { spec, first, elements }
        };
        let slots: Vec<_> = specs.into_iter().map(&mut place).collect();
        let zeros = zeros.into_iter().map(&mut place).collect();
        let elements = slots.last().map_or(0, |slot| slot.first + slot.elements);
        Self { slots, zeros, elements }
    }

    /// Slots, in order.
    pub fn slots(&self) -> &[ParameterSlot] {
        &self.slots
    }

    /// Number of elements of a flat buffer, without parameters that are always zero.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Number of elements of a flat buffer on a device.
    fn buffer_elements(&self) -> u64 {
        self.zeros.last().map_or(self.elements, |slot| slot.first + slot.elements)
    }

    /// Number of trained values.
    pub fn parameters(&self) -> u64 {
        self.slots.iter().map(|slot| slot.elements).sum()
    }

    /// Returns the slot of the parameter called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if the model has no such parameter.
    pub fn slot(&self, name: &str) -> Result<&ParameterSlot> {
        let missing = || Error::new(ErrorKind::Weights, format!("the model has no parameter `{name}`"));
        self.slots.iter().chain(&self.zeros).find(|slot| slot.spec.name == name).ok_or_else(missing)
    }

    /// Returns the initial weights for `seed`, which are the same on every machine.
    pub fn initial(&self, seed: u64) -> Weights {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut weights = Weights::default();
        for ParameterSlot { spec, elements, .. } in &self.slots {
            let values = match &spec.initial {
                Initial::Uniform(bound) => {
                    (0..*elements).map(|_| random.random_range(-*bound..*bound) as f32).collect()
                }
                Initial::Normal(deviation) => {
                    let mut normal = || deviation * random.sample::<f64, _>(StandardNormal);
                    (0..*elements).map(|_| normal() as f32).collect()
                }
                Initial::Constant(value) => vec![*value; *elements as usize],
                Initial::SameAs(other) => weights.tensors.get(other).map(|t| t.values.clone()).unwrap_or_default(),
            };
            weights.tensors.insert(spec.name.clone(), Tensor { shape: spec.shape.clone(), values });
        }
        weights
    }

    /// Returns `weights` as one flat buffer.
    ///
    /// # Errors
    /// As [`Layout::check`].
    pub fn flatten(&self, weights: &Weights) -> Result<Vec<f32>> {
        self.check(weights)?;
        let mut flat = vec![0.0; self.elements as usize];
        for ParameterSlot { spec, first, elements } in &self.slots {
            let values = &weights.tensors[&spec.name].values;
            flat[*first as usize..(first + elements) as usize].copy_from_slice(values);
        }
        Ok(flat)
    }

    /// Checks that `weights` are those of the model.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if a tensor is missing, has another shape, is unknown or is not finite.
    pub fn check(&self, weights: &Weights) -> Result<()> {
        let error = |message: String| Error::new(ErrorKind::Weights, message);
        let remedy = "give the settings the weights were made with";
        for ParameterSlot { spec, .. } in &self.slots {
            let name = &spec.name;
            let tensor = weights.tensors.get(name);
            let tensor = tensor.ok_or_else(|| error(format!("the weights have no tensor `{name}`; {remedy}")))?;
            if tensor.shape != spec.shape {
                return Err(error(format!(
                    "tensor `{name}` has shape {:?}, the model needs {:?}; {remedy}",
                    tensor.shape, spec.shape
                )));
            }
            if tensor.values.iter().any(|v| !v.is_finite()) {
                return Err(error(format!("tensor `{name}` holds numbers that are not finite; use other weights")));
            }
        }
        let known = |name: &String| self.slots.iter().any(|slot| slot.spec.name == *name);
        match weights.tensors.keys().find(|name| !known(name)) {
            Some(name) => Err(error(format!("the model has no parameter `{name}` that the weights hold; {remedy}"))),
            None => Ok(()),
        }
    }

    /// Returns a flat buffer as named tensors.
    pub fn unflatten(&self, flat: &[f32]) -> Weights {
        let tensor = |slot: &ParameterSlot| {
            let values = flat[slot.first as usize..(slot.first + slot.elements) as usize].to_vec();
            (slot.spec.name.clone(), Tensor { shape: slot.spec.shape.clone(), values })
        };
        Weights { tensors: self.slots.iter().map(tensor).collect() }
    }
}

/// Number of rows of a training pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRows {
    /// Samples of the pass.
    pub samples: u32,
    /// Rows of each sample: its patches, or 1.
    pub rows_per_sample: u32,
}

/// Parameters of a model on a device and their gradient: two flat buffers with the same slots, and in
/// [`Precision::Mixed`] a third with the parameters cast to f16.
pub struct Parameters {
    layout: Layout,
    values: Buffer,
    gradient: Buffer,
    half: Option<Buffer>,
}

impl Parameters {
    /// Creates buffers for `layout`, initialized to zero.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for [`Precision::Mixed`] if the adapter has no f16; as [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, layout: Layout, precision: Precision) -> Result<Self> {
        let elements = layout.buffer_elements();
        let create = || gpu.buffer_of("ketformer.parameters.f16", elements, DType::F16);
        let half = (precision == Precision::Mixed).then(create).transpose()?;
        let values = gpu.large_buffer("ketformer.parameters", elements)?;
        let gradient = gpu.large_buffer("ketformer.gradient", elements)?;
        Ok(Self { layout, values, gradient, half })
    }

    /// Storage precision of inference passes.
    pub fn precision(&self) -> Precision {
        if self.half.is_some() { Precision::Mixed } else { Precision::Single }
    }

    /// Kernel that writes the f16 matrices read through [`Parameters::sampled`]; `None` if there are none. It must run
    /// after each change of the parameters, before the next inference pass.
    pub(crate) fn cast_f16(&self) -> Option<WeightsCastF16> {
        self.half.as_ref().map(|half| WeightsCastF16 { values: self.values.view(), halves: half.view() })
    }

    /// Layout of the parameters.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters.
    pub fn values(&self) -> View {
        self.values.view()
    }

    /// Gradient of all parameters.
    pub fn gradient(&self) -> View {
        self.gradient.view()
    }

    /// Creates the scratch of [`GradientSums`] for training passes. `widest` is the largest
    /// number of elements of a gradient that a kernel computes at once, as [`Transformer::part_width`].
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    ///
    /// [`GradientSums`]: crate::kernels::linear::GradientSums
    /// [`Transformer::part_width`]: crate::model::layers::Transformer::part_width
    pub fn gradient_scratch(&self, gpu: &Gpu, widest: u64, rows: SampleRows) -> Result<Buffer> {
        let SampleRows { samples, rows_per_sample } = rows;
        gpu.buffer("ketformer.part", scratch_of_items(gpu, samples, rows_per_sample, &self.gradient_widths(widest)))
    }

    /// Number of floats of all gradients, of which the kernels of a model compute at most `widest` at once.
    pub(crate) fn gradient_widths(&self, widest: u64) -> GradientWidths {
        GradientWidths { widest, all: self.layout.slots.iter().map(|slot| slot.elements).collect() }
    }

    /// Returns the view of the parameter called `name`.
    ///
    /// # Errors
    /// As [`Layout::slot`].
    pub fn value(&self, name: &str) -> Result<View> {
        let slot = self.layout.slot(name)?;
        self.values.range(name, slot.first, slot.elements)
    }

    /// Returns the view of the parameter called `name` for inference passes: in [`Precision::Mixed`] matrices are f16.
    ///
    /// # Errors
    /// As [`Layout::slot`].
    pub fn sampled(&self, name: &str) -> Result<View> {
        let slot = self.layout.slot(name)?;
        match &self.half {
            // Two elements make up a word, and bindings consist of whole words.
            Some(half) if slot.is_matrix() => half.range(name, slot.first, slot.elements.next_multiple_of(2)),
            _ => self.value(name),
        }
    }

    /// All parameters for inference passes; in [`Precision::Mixed`] f16, of which only matrices are used.
    pub(crate) fn all_sampled(&self) -> View {
        self.half.as_ref().unwrap_or(&self.values).view()
    }

    /// Returns the view of the gradient of the parameter called `name`.
    ///
    /// # Errors
    /// As [`Layout::slot`].
    pub fn gradient_of(&self, name: &str) -> Result<View> {
        let slot = self.layout.slot(name)?;
        self.gradient.range(name, slot.first, slot.elements)
    }

    /// Writes `weights`.
    ///
    /// # Errors
    /// As [`Layout::flatten`]; [`ErrorKind::Weights`] in [`Precision::Mixed`] for a matrix with numbers beyond ±65504.
    /// Numbers that exceed this range in training are sampled as ±65504.
    pub fn write(&self, gpu: &Gpu, weights: &Weights) -> Result<()> {
        let flat = self.layout.flatten(weights)?;
        for slot in self.layout.slots.iter().filter(|slot| self.half.is_some() && slot.is_matrix()) {
            let values = &flat[slot.first as usize..(slot.first + slot.elements) as usize];
            if let Some(value) = values.iter().find(|value| value.abs() > LARGEST) {
                let name = &slot.spec.name;
                let message =
                    format!("tensor `{name}` holds {value:e}, beyond the f16 range ±{LARGEST}; use single precision");
                return Err(Error::new(ErrorKind::Weights, message));
            }
        }
        self.values.write(gpu, &flat)
    }

    /// Reads the weights back.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn read(&self, gpu: &Gpu) -> Result<Weights> {
        gpu.block_on(self.read_async(gpu))
    }

    /// As [`Parameters::read`], without blocking.
    ///
    /// # Errors
    /// As [`View::read_async`].
    pub async fn read_async(&self, gpu: &Gpu) -> Result<Weights> {
        Ok(self.layout.unflatten(&self.values.read_async(gpu, self.layout.elements() as usize).await?))
    }

    /// Reads the gradient back, by the names of the parameters.
    ///
    /// # Errors
    /// As [`View::read`].
    pub(crate) fn read_gradient(&self, gpu: &Gpu) -> Result<Weights> {
        Ok(self.layout.unflatten(&self.gradient.read(gpu, self.layout.elements() as usize)?))
    }
}
