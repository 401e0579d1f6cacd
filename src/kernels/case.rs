//! A kernel run with known inputs against its f64 reference.

use std::collections::BTreeMap;

use super::choice::Form;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Storage, View};

/// Input values of a case.
#[derive(Debug, Clone)]
pub enum Values {
    /// Floats.
    F32(Vec<f32>),
    /// Unsigned integers.
    U32(Vec<u32>),
    /// Floats of 16 bits.
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

/// What an output must be.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Floats within `tolerance` times the largest magnitude among them.
    Near {
        /// The reference's values.
        values: Vec<f64>,
        /// Largest error allowed, relative to the largest magnitude.
        tolerance: f64,
    },
    /// The same in a buffer of f16.
    NearHalf {
        /// The reference's values.
        values: Vec<f64>,
        /// As in `Near`.
        tolerance: f64,
    },
    /// These integers.
    Exactly(Vec<u32>),
}

/// The buffers of a case, by name.
pub struct Named(BTreeMap<&'static str, Buffer>);

impl Named {
    /// The buffer called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when the case has none.
    pub fn view(&self, name: &str) -> Result<View> {
        let missing = || Error::new(ErrorKind::Shape, format!("the case has no buffer `{name}`"));
        self.0.get(name).map(Buffer::view).ok_or_else(missing)
    }
}

/// Records the kernel under test on a plan.
pub type Record = Box<dyn Fn(&mut Plan, &Named) -> Result<()>>;

/// One row of a kernel's table of cases.
pub struct Case {
    /// The shape, for people.
    pub name: String,
    /// Buffers with values. A name that is also an output is updated in place.
    pub inputs: Vec<(&'static str, Values)>,
    /// Buffers to compare; poisoned with NaN first unless they are inputs too.
    pub outputs: Vec<(&'static str, Expected)>,
    /// Records the kernel.
    pub record: Record,
}

/// How far one output of a case is from its reference.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Name of the output.
    pub output: &'static str,
    /// Largest error over the largest magnitude; infinite for NaN, for integers 0 or infinite.
    pub error: f64,
    /// The error allowed.
    pub tolerance: f64,
}

impl Measured {
    /// Whether the error is within the tolerance.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// What outputs hold before the kernel runs, so that an element it forgets is an infinite error: NaN as an f32, and as two
/// f16s.
pub(crate) const POISON: u32 = 0x7fc0_7ead;

/// Values beyond this stand for something, such as a logarithm of zero; they are compared with themselves and set no
/// scale for the others.
const MARK: f64 = 1e20;

/// The largest magnitude among ordinary values.
fn scale(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).filter(|v| *v < MARK).fold(f64::MIN_POSITIVE, f64::max)
}

/// The bits of an f16 as an f32.
fn widened(bits: u16) -> u32 {
    half::f16::from_bits(bits).to_f32().to_bits()
}

/// How far the words `bits` of an output are from what they must be.
pub(crate) fn measure(output: &'static str, bits: &[u32], expected: &Expected) -> Measured {
    match expected {
        Expected::Exactly(values) => {
            let error = if bits == values { 0.0 } else { f64::INFINITY };
            Measured { output, error, tolerance: 0.0 }
        }
        Expected::NearHalf { values, tolerance } => {
            let wide: Vec<u32> =
                bits.iter().flat_map(|word| [*word as u16, (*word >> 16) as u16]).map(widened).collect();
            let near = Expected::Near { values: values.clone(), tolerance: *tolerance };
            // The last word may have an element to spare.
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
            Measured { output, error, tolerance: *tolerance }
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

    fn storage(&self) -> Storage {
        if matches!(self, Self::NearHalf { .. }) { Storage::Half } else { Storage::Word }
    }

    /// Words of the buffer.
    fn words(&self) -> usize {
        (self.len() * self.storage().bytes() as usize).div_ceil(4)
    }

    /// The same expectation with the element `at` moved by twice the tolerance, or one unit: a wrong answer that a
    /// comparison worth its name must reject.
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
    /// The same case, its name saying in which form the kernel runs.
    pub(super) fn of_form(self, form: &Form) -> Self {
        Self { name: format!("{} [{}]", self.name, form.name), ..self }
    }

    /// The form in which the kernel runs, where it has several.
    pub fn form(&self) -> Option<&str> {
        self.name.strip_suffix(']')?.rsplit_once(" [").map(|(_, form)| form)
    }

    /// Runs the case and returns the raw words of each output.
    ///
    /// # Errors
    /// What recording or the device say.
    pub fn run(&self, gpu: &Gpu) -> Result<Vec<Vec<u32>>> {
        let mut buffers = BTreeMap::new();
        for (name, values) in &self.inputs {
            let buffer = match values {
                Values::F32(values) => gpu.upload(name, values)?,
                Values::U32(values) => gpu.upload(name, values)?,
                Values::F16(values) => {
                    let buffer = gpu.buffer_of(name, values.len() as u64, Storage::Half)?;
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
        let buffers = Named(buffers);
        let mut plan = Plan::new(gpu);
        (self.record)(&mut plan, &buffers)?;
        plan.run()?;
        self.outputs.iter().map(|(name, expected)| buffers.view(name)?.read(gpu, expected.words())).collect()
    }

    /// Compares the words that [`Case::run`] gave with the reference.
    pub fn compare(&self, words: &[Vec<u32>]) -> Vec<Measured> {
        self.outputs.iter().zip(words).map(|((name, expected), words)| measure(name, words, expected)).collect()
    }
}
