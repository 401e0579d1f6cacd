//! Test cases of kernels: known inputs and an f64 reference.

use std::collections::BTreeMap;

use super::variant::Variant;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, DType, Gpu, Plan, View};

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

/// Expected values of an output.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Floats within `tolerance` times the largest magnitude among them.
    Near {
        /// Reference values.
        values: Vec<f64>,
        /// Largest allowed error, relative to the largest magnitude.
        tolerance: f64,
    },
    /// Same as `Near`, for a buffer of f16.
    NearHalf {
        /// Reference values.
        values: Vec<f64>,
        /// As in `Near`.
        tolerance: f64,
    },
    /// Integers, compared exactly.
    Exactly(Vec<u32>),
}

/// Buffers of a case, by name.
#[derive(Clone)]
pub struct CaseBuffers {
    views: BTreeMap<&'static str, View>,
    stand_in: Option<View>,
}

impl CaseBuffers {
    /// Returns the buffer called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the case has no such buffer.
    pub fn view(&self, name: &str) -> Result<View> {
        let missing = || Error::new(ErrorKind::Shape, format!("the case has no buffer `{name}`"));
        self.views.get(name).or(self.stand_in.as_ref()).cloned().ok_or_else(missing)
    }

    /// Returns the buffers called `names`.
    ///
    /// # Errors
    /// As [`CaseBuffers::view`].
    pub fn views<const N: usize>(&self, names: [&str; N]) -> Result<[View; N]> {
        let views = names.iter().map(|name| self.view(name)).collect::<Result<Vec<View>>>()?;
        Ok(views.try_into().unwrap_or_else(|_| unreachable!("one view per name")))
    }

    /// The same buffers and another one.
    pub(super) fn with(&self, name: &'static str, view: &View) -> Self {
        let mut buffers = self.clone();
        buffers.views.insert(name, view.clone());
        buffers
    }

    /// The same buffers, with `name` in place of missing ones, for fields of a record that the kernel does not bind.
    ///
    /// # Errors
    /// As [`CaseBuffers::view`].
    pub(super) fn standing_in(&self, name: &str) -> Result<Self> {
        Ok(Self { stand_in: Some(self.view(name)?), ..self.clone() })
    }
}

/// Field of a record in a case: the buffer called `name`, or a record of several buffers.
pub(super) trait CaseField: Sized {
    /// # Errors
    /// As [`CaseBuffers::view`].
    fn find(buffers: &CaseBuffers, name: &str) -> Result<Self>;
}

impl CaseField for View {
    fn find(buffers: &CaseBuffers, name: &str) -> Result<Self> {
        buffers.view(name)
    }
}

impl CaseField for Option<View> {
    fn find(buffers: &CaseBuffers, name: &str) -> Result<Self> {
        Ok(buffers.views.get(name).cloned())
    }
}

/// Defines a record: the buffers of a kernel, one field per binding. `from_case` finds the buffers of a case by the
/// names of the fields.
macro_rules! record {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty,)+
    }) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $type,)+
        }

        impl $name {
            /// The record of the buffers with the names of its fields.
            pub(in crate::kernels) fn from_case(
                buffers: &crate::kernels::CaseBuffers,
            ) -> crate::error::Result<Self> {
                Ok(Self { $($field: crate::kernels::case::CaseField::find(buffers, stringify!($field))?,)+ })
            }
        }

        impl crate::kernels::case::CaseField for $name {
            fn find(buffers: &crate::kernels::CaseBuffers, _: &str) -> crate::error::Result<Self> {
                Self::from_case(buffers)
            }
        }
    };
}
pub(super) use record;

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

/// Comparison of one output with its reference.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Name of the output.
    pub output: &'static str,
    /// Largest error divided by the largest magnitude. Infinite for NaN; 0 or infinite for integers.
    pub error: f64,
    /// Largest allowed error.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the error is within the tolerance.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Bit pattern of outputs before the kernel runs: NaN as one f32 and as two f16. An element that the kernel does not
/// write yields an infinite error.
pub(crate) const POISON: u32 = 0x7fc0_7ead;

/// Magnitude above which a value is a sentinel, such as the logarithm of zero. The error of a sentinel is relative to
/// its own magnitude, and sentinels do not count toward the scale of the other values.
const MARK: f64 = 1e20;

/// Largest magnitude among values that are not sentinels.
fn scale(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).filter(|v| *v < MARK).fold(f64::MIN_POSITIVE, f64::max)
}

/// Converts the bits of an f16 to the bits of an f32.
fn widened(bits: u16) -> u32 {
    half::f16::from_bits(bits).to_f32().to_bits()
}

/// Compares the words `bits` of an output with the expected values.
pub(crate) fn measure(output: &'static str, bits: &[u32], expected: &Expected) -> Comparison {
    match expected {
        Expected::Exactly(values) => {
            let error = if bits == values { 0.0 } else { f64::INFINITY };
            Comparison { output, error, tolerance: 0.0 }
        }
        Expected::NearHalf { values, tolerance } => {
            let wide: Vec<u32> =
                bits.iter().flat_map(|word| [*word as u16, (*word >> 16) as u16]).map(widened).collect();
            let near = Expected::Near { values: values.clone(), tolerance: *tolerance };
            // The last word may contain a padding element.
            let given = if wide.len() == values.len() + 1 { &wide[..values.len()] } else { &wide };
            measure(output, given, &near)
        }
        Expected::Near { values, tolerance } => {
            let scale = scale(values);
            let distance = |(bits, value): (&u32, &f64)| {
                let scale = if value.abs() < MARK { scale } else { value.abs() };
                let error = (f64::from(f32::from_bits(*bits)) - value).abs() / scale;
                if error.is_nan() { f64::INFINITY } else { error }
            };
            let error = bits.iter().zip(values).map(distance).fold(0.0, f64::max);
            let error = if bits.len() == values.len() { error } else { f64::INFINITY };
            Comparison { output, error, tolerance: *tolerance }
        }
    }
}

impl Expected {
    fn len(&self) -> usize {
        match self {
            Self::Near { values, .. } | Self::NearHalf { values, .. } => values.len(),
            Self::Exactly(values) => values.len(),
        }
    }

    fn storage(&self) -> DType {
        if matches!(self, Self::NearHalf { .. }) { DType::F16 } else { DType::F32 }
    }

    /// Number of 32-bit words of the buffer.
    fn words(&self) -> usize {
        (self.len() * self.storage().bytes() as usize).div_ceil(4)
    }

    /// Returns the same expectation with element `at` changed by three times the tolerance, or by one unit for
    /// integers. Every comparison must reject it.
    pub fn perturbed(&self, at: usize) -> Self {
        match self.clone() {
            Self::Near { mut values, tolerance } => {
                let scale = if values[at].abs() < MARK { scale(&values) } else { values[at].abs() };
                values[at] += 3.0 * tolerance * scale;
                Self::Near { values, tolerance }
            }
            Self::NearHalf { mut values, tolerance } => {
                values[at] += 3.0 * tolerance * scale(&values);
                Self::NearHalf { values, tolerance }
            }
            Self::Exactly(mut values) => {
                values[at] ^= 1;
                Self::Exactly(values)
            }
        }
    }
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
