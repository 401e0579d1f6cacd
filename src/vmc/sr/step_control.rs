//! Control of the steps of stochastic reconfiguration by the energies that follow them.
//!
//! ```text
//! E_new − E_old > 3 √(σ_new² + σ_old²) + 10⁻⁵ |E|:        half of the last update is taken back, later ones are half as long
//! otherwise:                                             later ones are 1.1 times as long, up to the learning rate
//! ```
//!
//! An update is halved at most three times, because an energy that was low by chance never returns. No update changes
//! log ψ by more than 1, as a standard deviation over |ψ|².

use crate::model::Tensor;

/// Energy to which no other is compared; not NaN, so that states can be.
const UNKNOWN: [f32; 2] = [f32::INFINITY, 0.0];
/// Largest change of log ψ by an update.
const RADIUS: f64 = 1.0;
/// Standard errors by which an energy has to rise.
const ERRORS: f64 = 3.0;
/// Relative rounding error of an energy.
const ROUNDING: f64 = 1e-5;
/// Number of times that an update is halved.
const HALVINGS: f32 = 3.0;
/// Growth of the lengths after an update that did not raise the energy.
const GROWTH: f32 = 1.1;

/// Energies and lengths of the steps so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepControl {
    /// Energy before the last update, with its standard error; infinite before the first one.
    energy: [f32; 2],
    /// Energy of the current batch, with its standard error.
    newest: [f32; 2],
    /// Length of the last update along its direction.
    length: f32,
    /// Factor of the lengths.
    scale: f32,
    /// Number of times that the last update was halved.
    halvings: f32,
}

impl Default for StepControl {
    fn default() -> Self {
        Self { energy: UNKNOWN, newest: UNKNOWN, length: 0.0, scale: 1.0, halvings: 0.0 }
    }
}

impl StepControl {
    /// Takes the energy after the last update into account. Returns the length of the correction if the update is to be
    /// shortened.
    pub(crate) fn judge(&mut self, energy: f64, error: f64) -> Option<f32> {
        let [before, error_before] = self.energy.map(f64::from);
        let allowed = ERRORS * error.hypot(error_before) + ROUNDING * energy.abs();
        // False for NaN and infinite energies.
        if energy - before > allowed && self.halvings < HALVINGS {
            self.length *= 0.5;
            self.halvings += 1.0;
            self.scale *= 0.5;
            return Some(-self.length);
        }
        if self.length != 0.0 && self.halvings == 0.0 {
            self.scale = (self.scale * GROWTH).min(1.0);
        }
        self.newest = if energy.is_finite() && error.is_finite() { [energy as f32, error as f32] } else { UNKNOWN };
        None
    }

    /// Length of an update at a learning rate of `rate`, if one of unit length changes log ψ by `change`.
    pub(crate) fn rate(&self, rate: f64, change: f64) -> f64 {
        (f64::from(self.scale) * rate).min(RADIUS / change.max(f64::MIN_POSITIVE))
    }

    /// Records an update of length `length`.
    pub(crate) fn updated(&mut self, length: f32) {
        *self = Self { energy: self.newest, length, halvings: 0.0, ..*self };
    }

    /// The state as a tensor.
    pub(crate) fn tensor(&self) -> Tensor {
        let Self { energy: [e, s], newest: [e_new, s_new], length, scale, halvings } = *self;
        Tensor { shape: vec![7], values: vec![e, s, e_new, s_new, length, scale, halvings] }
    }

    /// The state of a [`Self::tensor`]; `None` if it is none.
    pub(crate) fn of_tensor(tensor: &Tensor) -> Option<Self> {
        let [e, s, e_new, s_new, length, scale, halvings] = *tensor.values.first_chunk::<7>()?;
        Some(Self { energy: [e, s], newest: [e_new, s_new], length, scale, halvings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control after an update of length 0.4 from an energy of −10 ± 0.1.
    fn updated() -> StepControl {
        let mut control = StepControl::default();
        assert_eq!(control.judge(-10.0, 0.1), None);
        control.updated(0.4);
        control
    }

    #[test]
    fn an_update_that_raises_the_energy_is_halved_three_times() {
        let mut control = updated();
        assert_eq!(control.judge(-9.0, 0.1), Some(-0.2));
        assert_eq!(control.judge(-9.2, 0.1), Some(-0.1));
        assert_eq!(control.rate(0.1, 1.0), 0.025);
        assert_eq!(control.judge(-9.3, 0.1), Some(-0.05));
        assert_eq!(control.judge(-9.3, 0.1), None);
        control.updated(0.1);
        assert_eq!(control.judge(-9.3, 0.1), None);
        assert!((control.rate(1.0, 1.0) - 0.1375).abs() < 1e-6);
    }

    #[test]
    fn noise_and_falling_energies_shorten_nothing() {
        for (energy, error) in [(-9.7, 0.1), (-11.0, 0.0), (f64::NAN, 0.1), (-9.0, f64::NAN)] {
            let mut control = updated();
            assert_eq!(control.judge(energy, error), None, "{energy} {error}");
            assert_eq!(control.rate(0.5, 1.0), 0.5);
            assert_eq!(control.rate(0.5, 10.0), 0.1);
        }
        // Without a statistical error, rounding is allowed.
        let mut exact = StepControl::default();
        exact.judge(-10.0, 0.0);
        exact.updated(1.0);
        assert_eq!(exact.judge(-9.99995, 0.0), None);
        assert_eq!(exact.judge(-9.9, 0.0), Some(-0.5));
    }

    #[test]
    fn the_state_is_that_of_its_tensor() {
        let control = updated();
        assert_eq!(StepControl::of_tensor(&control.tensor()), Some(control));
        assert_eq!(StepControl::of_tensor(&Tensor { shape: vec![1], values: vec![0.0] }), None);
    }
}
