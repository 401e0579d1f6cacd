//! Comparison of outputs with expected values.

use crate::gpu::DType;

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

/// Comparison of one output with its reference.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

    /// Compares the 32-bit words of an output with the expected values.
    pub fn new(output: &'static str, bits: &[u32], expected: &Expected) -> Self {
        match expected {
            Expected::Exactly(values) => {
                let error = if bits == values { 0.0 } else { f64::INFINITY };
                Self { output, error, tolerance: 0.0 }
            }
            Expected::NearHalf { values, tolerance } => {
                let wide: Vec<u32> =
                    bits.iter().flat_map(|word| [*word as u16, (*word >> 16) as u16]).map(widened).collect();
                let near = Expected::Near { values: values.clone(), tolerance: *tolerance };
                // The last word may contain a padding element.
                let given = if wide.len() == values.len() + 1 { &wide[..values.len()] } else { &wide };
                Self::new(output, given, &near)
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
                Self { output, error, tolerance: *tolerance }
            }
        }
    }
}

/// Bit pattern of outputs before the kernel runs: NaN as one f32 and as two f16. An element that the kernel does not
/// write yields an infinite error.
pub const POISON: u32 = 0x7fc0_7ead;

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

impl Expected {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Near { values, .. } | Self::NearHalf { values, .. } => values.len(),
            Self::Exactly(values) => values.len(),
        }
    }

    pub(super) fn storage(&self) -> DType {
        if matches!(self, Self::NearHalf { .. }) { DType::F16 } else { DType::F32 }
    }

    /// Number of 32-bit words of the buffer.
    pub(super) fn words(&self) -> usize {
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
