//! Dropout with an optional residual (Srivastava et al., JMLR 15, 1929, 2014).
//!
//! ```text
//! y[e] = residual[e] + x[e] · keep(e) / (1 − rate)        keep(e) = word(e) ≥ rate · 2³²
//! word(e) = philox(counter = (first + ⌊e/4⌋, site, step, 1), key = seed)[e mod 4]
//! ```
//!
//! The mask depends on nothing but seed, step, site and element, so that a backward pass launches the same shape on the
//! gradient of y to obtain the gradient of x. The last word of the counter separates these random numbers from those of
//! sampling.

use super::categorical::philox;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static DROPOUT: Kernel = kernel!("nn", "dropout");

/// Last word of the Philox counter of [`Dropout`].
const STREAM: u32 = 1;

/// Bits of the random number of an element.
const BITS: u32 = 32;

record! {
    /// Dropout of a flat buffer; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct Dropout {
        /// (elements); may be the same range as `y`
        pub x: View,
        /// (elements), added to the result; a range other than that of `y`
        pub residual: Option<View>,
        /// (4) u32: seed (2), step number, -
        pub step: View,
        /// (elements)
        pub y: View,
    }
}

/// Shape of a [`Dropout`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutShape {
    /// Number of elements; a multiple of 4.
    pub elements: u64,
    /// Probability that an element becomes 0, in [0, 1).
    pub rate: f32,
    /// Index of this dropout among those of a step, so that each has its own mask.
    pub site: u32,
    /// Index of the first four elements in the mask, so that parts of one batch have different masks.
    pub first: u32,
}

impl Dropout {
    /// Records the kernel.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the number of elements is not a multiple of 4, [`ErrorKind::Settings`] if the rate is not
    /// in [0, 1), and as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &DropoutShape) -> Result<()> {
        let elements = shape.elements;
        if !elements.is_multiple_of(4) || elements / 4 > u64::from(u32::MAX) {
            let message = format!("{}: expected a multiple of 4 elements below 2³⁴, got {elements}", DROPOUT.name);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let [dropped, factor] = mask_params(DROPOUT.name, shape.rate, BITS)?;
        // Absent operands still need a bound view.
        let absent = (&self.step, 4);
        let in_place = self.x.wgpu() == self.y.wgpu() && self.x.offset() == self.y.offset();
        let (x, x_elements) = if in_place { absent } else { (&self.x, elements) };
        let (residual, residual_elements) = self.residual.as_ref().map_or(absent, |residual| (residual, elements));
        plan.launch(&Launch {
            kernel: &DROPOUT,
            spec: &[("IN_PLACE", in_place.into()), ("RESIDUAL", self.residual.is_some().into())],
            bindings: &bind!(x[x_elements], residual[residual_elements], self.step[4], self.y[elements]),
            params: &[
                ("vectors", ((elements / 4) as u32).into()),
                ("first", shape.first.into()),
                ("site", shape.site.into()),
                dropped,
                factor,
            ],
            groups: Groups::Fixed(elements.div_ceil(4 * 64)),
            cost: Cost {
                flops: 2.0 * elements as f64,
                bytes: if self.residual.is_some() { 12.0 } else { 8.0 } * elements as f64,
            },
            shape: format!("({elements})"),
        })
    }
}

/// Number of `bits` bits below which an element is dropped, and the factor of the others.
///
/// # Errors
/// [`ErrorKind::Settings`] if the rate is not in [0, 1).
pub(in crate::kernels) fn mask_params(kernel: &str, rate: f32, bits: u32) -> Result<[(&'static str, Param); 2]> {
    if !(0.0..1.0).contains(&rate) {
        let message = format!("{kernel}: expected a dropout rate of at least 0 and below 1, got {rate}");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok([("dropped", threshold(rate, bits).into()), ("factor", Param::F32(factor_of_kept(rate, bits) as f32))])
}

/// Smallest number of an element that is kept.
fn threshold(rate: f32, bits: u32) -> u32 {
    let numbers = 2f64.powi(bits as i32);
    (f64::from(rate) * numbers).round().min(numbers - 1.0) as u32
}

/// 1 / (1 − rate), for the rate that numbers of so many bits give, so that the mean of the mask is 1.
fn factor_of_kept(rate: f32, bits: u32) -> f64 {
    1.0 / (1.0 - f64::from(threshold(rate, bits)) / 2f64.powi(bits as i32))
}

/// Factor of the mask for a random number of `bits` bits: 0 or 1 / (1 − rate).
pub(in crate::kernels) fn mask_factor(number: u32, rate: f32, bits: u32) -> f64 {
    if number >= threshold(rate, bits) { factor_of_kept(rate, bits) } else { 0.0 }
}

/// Factors of all elements, 0 or 1 / (1 − rate), for the words `step` of a step.
pub fn dropout_mask(step: [u32; 4], shape: &DropoutShape) -> Vec<f64> {
    let of_vector = |vector: u64| {
        let counter = [shape.first.wrapping_add(vector as u32), shape.site, step[2], STREAM];
        philox(counter, [step[0], step[1]]).map(|word| mask_factor(word, shape.rate, BITS))
    };
    (0..shape.elements / 4).flat_map(of_vector).collect()
}
