//! Where each parameter stands in the flat buffers, and how it begins.

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{Tensor, Weights};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, View};

/// How a parameter begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Initial {
    /// Uniform in (−bound, bound).
    Uniform(f64),
    /// Everywhere the same.
    Constant(f32),
    /// As the parameter of that name, which stands earlier.
    SameAs(String),
}

/// One parameter of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Its name in a PyTorch state_dict.
    pub name: String,
    /// (outputs, inputs) for weights, (outputs) for the rest.
    pub shape: Vec<usize>,
    /// How it begins.
    pub initial: Initial,
}

/// A parameter's place in the flat buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// What stands there.
    pub spec: ParameterSpec,
    /// First element; a multiple of 64.
    pub first: u64,
    /// Number of elements.
    pub elements: u64,
}

/// The places of all parameters of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    slots: Vec<Slot>,
    elements: u64,
}

impl Layout {
    /// Places the parameters one after the other, each at a multiple of 64 elements.
    pub fn new(specs: Vec<ParameterSpec>) -> Self {
        let mut end = 0u64;
        let place = |spec: ParameterSpec| {
            let first = end.next_multiple_of(64);
            let elements = spec.shape.iter().product::<usize>() as u64;
            end = first + elements;
            Slot { spec, first, elements }
        };
        let slots = specs.into_iter().map(place).collect();
        Self { slots, elements: end }
    }

    /// The places, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Elements of a flat buffer.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> u64 {
        self.slots.iter().map(|slot| slot.elements).sum()
    }

    /// The place of the parameter called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when the model has none.
    pub fn slot(&self, name: &str) -> Result<&Slot> {
        let missing = || Error::new(ErrorKind::Weights, format!("the model has no parameter `{name}`"));
        self.slots.iter().find(|slot| slot.spec.name == name).ok_or_else(missing)
    }

    /// The initial weights for `seed`: the same on every machine.
    pub fn initial(&self, seed: u64) -> Weights {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut weights = Weights::default();
        for Slot { spec, elements, .. } in &self.slots {
            let values = match &spec.initial {
                Initial::Uniform(bound) => {
                    (0..*elements).map(|_| random.random_range(-*bound..*bound) as f32).collect()
                }
                Initial::Constant(value) => vec![*value; *elements as usize],
                Initial::SameAs(other) => weights.tensors.get(other).map(|t| t.values.clone()).unwrap_or_default(),
            };
            weights.tensors.insert(spec.name.clone(), Tensor { shape: spec.shape.clone(), values });
        }
        weights
    }

    /// `weights` as one flat buffer.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when a tensor is missing, has another shape, is unknown or is not finite.
    pub fn flatten(&self, weights: &Weights) -> Result<Vec<f32>> {
        let error = |message: String| Error::new(ErrorKind::Weights, message);
        let remedy = "give the settings the weights were made with";
        let mut flat = vec![0.0; self.elements as usize];
        for Slot { spec, first, elements } in &self.slots {
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
            flat[*first as usize..(first + elements) as usize].copy_from_slice(&tensor.values);
        }
        let known = |name: &String| self.slots.iter().any(|slot| slot.spec.name == *name);
        match weights.tensors.keys().find(|name| !known(name)) {
            Some(name) => Err(error(format!("the model has no parameter `{name}` that the weights hold; {remedy}"))),
            None => Ok(flat),
        }
    }

    /// A flat buffer as named tensors.
    pub fn unflatten(&self, flat: &[f32]) -> Weights {
        let tensor = |slot: &Slot| {
            let values = flat[slot.first as usize..(slot.first + slot.elements) as usize].to_vec();
            (slot.spec.name.clone(), Tensor { shape: slot.spec.shape.clone(), values })
        };
        Weights { tensors: self.slots.iter().map(tensor).collect() }
    }
}

/// The parameters of a model on a device and their gradient: two flat buffers with the same slots.
pub struct Parameters {
    layout: Layout,
    values: Buffer,
    gradient: Buffer,
}

impl Parameters {
    /// Buffers for `layout`, zero at first.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, layout: Layout) -> Result<Self> {
        let values = gpu.buffer("ketformer.parameters", layout.elements())?;
        let gradient = gpu.buffer("ketformer.gradient", layout.elements())?;
        Ok(Self { layout, values, gradient })
    }

    /// Where everything stands.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters.
    pub fn values(&self) -> View {
        self.values.view()
    }

    /// The whole gradient.
    pub fn gradient(&self) -> View {
        self.gradient.view()
    }

    /// The parameter called `name`.
    ///
    /// # Errors
    /// As [`Layout::slot`].
    pub fn value(&self, name: &str) -> Result<View> {
        let slot = self.layout.slot(name)?;
        self.values.range(name, slot.first, slot.elements)
    }

    /// The gradient of the parameter called `name`.
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
    /// As [`Layout::flatten`].
    pub fn write(&self, gpu: &Gpu, weights: &Weights) -> Result<()> {
        self.values.write(gpu, &self.layout.flatten(weights)?)
    }

    /// Reads the weights back.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn read(&self, gpu: &Gpu) -> Result<Weights> {
        Ok(self.layout.unflatten(&self.values.read(gpu, self.layout.elements() as usize)?))
    }

    /// Reads the gradient back, under the parameters' names.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn read_gradient(&self, gpu: &Gpu) -> Result<Weights> {
        Ok(self.layout.unflatten(&self.gradient.read(gpu, self.layout.elements() as usize)?))
    }
}
