//! Where each parameter stands in the flat buffers, and how it begins.

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{Precision, Tensor, Weights};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Storage, View};
use crate::kernels::narrow::{LARGEST, WeightsNarrow};

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
    /// First element; a multiple of 128.
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

impl Slot {
    /// Whether it is a matrix, which has an f16 twin in [`Precision::Mixed`]; biases and norms have none.
    pub fn is_matrix(&self) -> bool {
        self.spec.shape.len() == 2
    }
}

impl Layout {
    /// Places the parameters one after the other, each at a multiple of 128 elements: 256 bytes, where bindings may begin,
    /// of a buffer of f16.
    pub fn new(specs: Vec<ParameterSpec>) -> Self {
        let mut end = 0u64;
        let place = |spec: ParameterSpec| {
            let first = end.next_multiple_of(128);
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

/// The parameters of a model on a device and their gradient: two flat buffers with the same slots, and in
/// [`Precision::Mixed`] a third with the parameters as f16.
pub struct Parameters {
    layout: Layout,
    values: Buffer,
    gradient: Buffer,
    narrow: Option<Buffer>,
}

impl Parameters {
    /// Buffers for `layout`, zero at first.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for [`Precision::Mixed`] where the adapter has no f16; as [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, layout: Layout, precision: Precision) -> Result<Self> {
        let elements = layout.elements();
        let half = || gpu.buffer_of("ketformer.parameters.f16", elements, Storage::Half);
        let narrow = (precision == Precision::Mixed).then(half).transpose()?;
        let values = gpu.buffer("ketformer.parameters", elements)?;
        let gradient = gpu.buffer("ketformer.gradient", elements)?;
        Ok(Self { layout, values, gradient, narrow })
    }

    /// What passes without gradient store.
    pub fn precision(&self) -> Precision {
        if self.narrow.is_some() { Precision::Mixed } else { Precision::Single }
    }

    /// The kernel that makes what [`Parameters::sampled`] reads, where that is not the parameters themselves. It must run
    /// before every pass without gradient whose parameters are new.
    pub fn narrowing(&self) -> Option<WeightsNarrow> {
        self.narrow.as_ref().map(|narrow| WeightsNarrow { values: self.values.view(), narrow: narrow.view() })
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

    /// The parameter called `name` as passes without gradient read it: in [`Precision::Mixed`] matrices are f16.
    ///
    /// # Errors
    /// As [`Layout::slot`].
    pub fn sampled(&self, name: &str) -> Result<View> {
        let slot = self.layout.slot(name)?;
        match &self.narrow {
            // Two elements are a word, and bindings are of whole words.
            Some(narrow) if slot.is_matrix() => narrow.range(name, slot.first, slot.elements.next_multiple_of(2)),
            _ => self.value(name),
        }
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
    /// As [`Layout::flatten`]; [`ErrorKind::Weights`] in [`Precision::Mixed`] for a matrix with numbers beyond ±65504.
    /// Where training leads there, sampling goes on with ±65504.
    pub fn write(&self, gpu: &Gpu, weights: &Weights) -> Result<()> {
        let flat = self.layout.flatten(weights)?;
        for slot in self.layout.slots.iter().filter(|slot| self.narrow.is_some() && slot.is_matrix()) {
            let values = &flat[slot.first as usize..(slot.first + slot.elements) as usize];
            if let Some(value) = values.iter().find(|value| value.abs() > LARGEST) {
                let name = &slot.spec.name;
                let message =
                    format!("tensor `{name}` holds {value:e}, and f16 ends at {LARGEST}; give precision=single");
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
