//! Output layer of a complex wave function: the product of cosh over complex units.
//!
//! ```text
//! log ψ    = Σ_α log cosh u_α            log ψ² = 2 Re log ψ        phase = Im log ψ
//! d_Re u_α = 2 w Re τ_α + v Im τ_α       d_Im u_α = v Re τ_α − 2 w Im τ_α       τ = tanh u
//! ```
//!
//! w and v are the gradients with respect to log ψ² and to the phase. Units are the real and imaginary parts of a layer
//! with complex weights, computed by two products. Since cosh is even, Re u ≥ 0 is assumed without loss of generality;
//! there, log cosh u = u + log(1 + e^(−2u)) − log 2 has a continuous imaginary part. Source: Rende et al.,
//! arXiv:2310.05715.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::rbm::amplitude::log_cosh;
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("nn", "complex_head_forward");
pub(super) static BACKWARD: Kernel = kernel!("nn", "complex_head_backward");

record! {
    /// log ψ² and phase of each row.
    #[derive(Debug, Clone)]
    pub struct ComplexHeadForward {
        /// (rows, C)
        pub real: View,
        /// (rows, C)
        pub imag: View,
        /// (rows): log ψ²
        pub log_p: View,
        /// (rows): radians, not reduced modulo 2π
        pub phase: View,
    }
}

impl ComplexHeadForward {
    /// Records log ψ² and phase of `rows` rows of `width` = C units.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, width: u32) -> Result<()> {
        let (r, c) = (u64::from(rows.capacity), u64::from(width));
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[],
            bindings: &bind!(self.real[r * c], self.imag[r * c], self.log_p[r], self.phase[r]),
            params: &[("rows", rows.capacity.into()), ("width", width.into())],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 60.0 * (r * c) as f64, bytes: 8.0 * (r * c + r) as f64 },
            shape: format!("({r}, {c})"),
        })
    }
}

record! {
    /// Gradient with respect to the units.
    #[derive(Debug, Clone)]
    pub struct ComplexHeadBackward {
        /// (B): gradient with respect to log ψ²
        pub d_log_p: View,
        /// (B): gradient with respect to the phase
        pub d_phase: Option<View>,
        /// (rows, C): Re u
        pub real: View,
        /// (rows, C): Im u
        pub imag: View,
        /// (rows, C): gradient with respect to Re u
        pub d_real: View,
        /// (rows, C): gradient with respect to Im u
        pub d_imag: View,
    }
}

impl ComplexHeadBackward {
    /// Records the gradient of `rows` rows. Row 0 belongs to element `first` of `d_log_p` and `d_phase`. `width` is C.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, width: u32, first: u32) -> Result<()> {
        let (r, c) = (u64::from(rows.capacity), u64::from(width));
        let weights = u64::from(first) + r;
        // Placeholder for an absent binding.
        let d_phase = self.d_phase.as_ref().unwrap_or(&self.d_log_p);
        plan.launch(&Launch {
            kernel: &BACKWARD,
            spec: &[("PHASE", self.d_phase.is_some().into())],
            bindings: &bind!(
                self.d_log_p[weights],
                d_phase[weights],
                self.real[r * c],
                self.imag[r * c],
                self.d_real[r * c],
                self.d_imag[r * c]
            ),
            params: &[("rows", rows.capacity.into()), ("width", width.into()), ("first", first.into())],
            groups: rows.times(width.div_ceil(4)).groups(64, 1),
            cost: Cost { flops: 60.0 * (r * c) as f64, bytes: 8.0 * (2 * r * c + r) as f64 },
            shape: format!("({r}, {c})"),
        })
    }
}

/// log cosh(a + ib) in f64, as real and imaginary part.
fn log_cosh_complex(a: f64, b: f64) -> [f64; 2] {
    let (a, b) = if a < 0.0 { (-a, -b) } else { (a, b) };
    let (t, q) = (a.tanh(), (-2.0 * a).exp());
    let log_size = log_cosh(a) + 0.5 * (b.cos().powi(2) + (t * b.sin()).powi(2)).ln();
    [log_size, b + (-q * (2.0 * b).sin()).atan2(1.0 + q * (2.0 * b).cos())]
}

/// tanh(a + ib) in f64, as real and imaginary part.
fn tanh_complex(a: f64, b: f64) -> [f64; 2] {
    let t = a.tanh();
    let modulus = b.cos().powi(2) + (t * b.sin()).powi(2);
    [t / modulus, (1.0 - t * t) * b.sin() * b.cos() / modulus]
}

/// log ψ² and phase of each row of `width` units in f64.
pub fn forward_reference(real: &[f64], imag: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let row = |(real, imag): (&[f64], &[f64])| {
        let units = real.iter().zip(imag).map(|(a, b)| log_cosh_complex(*a, *b));
        units.fold((0.0, 0.0), |(log_p, phase), [size, angle]| (log_p + 2.0 * size, phase + angle))
    };
    real.chunks(width).zip(imag.chunks(width)).map(row).unzip()
}

/// Gradients of Σ_b (d_log_p_b log ψ²_b + d_phase_b phase_b) with respect to real and imaginary parts, in f64.
pub fn backward_reference(real: &[f64], imag: &[f64], d_log_p: &[f64], d_phase: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let width = real.len() / d_log_p.len();
    let unit = |at: usize| {
        let ([tau_real, tau_imag], w, v) =
            (tanh_complex(real[at], imag[at]), 2.0 * d_log_p[at / width], d_phase[at / width]);
        (w * tau_real + v * tau_imag, v * tau_real - w * tau_imag)
    };
    (0..real.len()).map(unit).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_cosh() {
        for (a, b) in [(0.3, 0.7), (-1.2, 2.9), (2.0, -4.0), (-0.01, 1.57)] {
            let [re, im] = log_cosh_complex(a, b);
            let (cosh, size) = ((f64::cosh(a) * f64::cos(b), f64::sinh(a) * f64::sin(b)), re.exp());
            assert!((size * im.cos() - cosh.0).abs() < 1e-12 && (size * im.sin() - cosh.1).abs() < 1e-12, "{a} {b}");
        }
        let [re, im] = log_cosh_complex(400.0, 3.0);
        assert!((re - 400.0 + std::f64::consts::LN_2).abs() < 1e-12 && (im - 3.0).abs() < 1e-12);
    }
}
