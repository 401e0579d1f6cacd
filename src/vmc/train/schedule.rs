//! Schedules of the learning rate and of the temperature.

use crate::error::{Error, ErrorKind, Result};

/// Schedule of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Schedule {
    /// Constant learning rate.
    #[default]
    Constant,
    /// Cosine decay, lr · ½ (1 + cos(π s / S)) after s of the S steps that follow the warm-up, zero after step `steps`
    /// (arXiv:1608.03983, without restarts).
    Cosine {
        /// Number of steps, including the warm-up, after which the learning rate is zero.
        steps: u64,
    },
}

impl Schedule {
    /// Returns the learning rate of step `step`, counted from 1, with a linear warm-up over the first `warmup` steps.
    pub fn rate(self, base: f64, warmup: u64, step: u64) -> f64 {
        if step <= warmup {
            return base * step as f64 / warmup as f64;
        }
        match self {
            Self::Constant => base,
            Self::Cosine { steps } => {
                let length = steps.saturating_sub(warmup).max(1) as f64;
                let done = ((step - warmup - 1) as f64 / length).min(1.0);
                base * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

/// Temperature T of a run, which minimizes the free energy E − T·S with the entropy S = −Σ P log P instead of the energy:
/// from `start`, linearly over `steps` steps, to `end`, which later steps keep (Hibat-Allah et al., Nat. Mach. Intell. 3,
/// 952 (2021), arXiv:2101.10154). The entropy keeps the samples from collapsing to one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Annealing {
    /// T of the first step, in the units of the energy; at least 0.
    pub start: f64,
    /// T after `steps` steps.
    pub end: f64,
    /// Number of steps over which T changes; with 0, T is `end` from the first step on.
    pub steps: u64,
}

impl Annealing {
    /// T of step `step`, counted from 1.
    pub fn temperature(&self, step: u64) -> f64 {
        let done = if self.steps == 0 { 1.0 } else { ((step - 1) as f64 / self.steps as f64).min(1.0) };
        self.start + (self.end - self.start) * done
    }

    /// Whether the temperature is zero in all steps.
    pub fn is_zero(&self) -> bool {
        self.end == 0.0 && (self.start == 0.0 || self.steps == 0)
    }

    /// Checks that the temperatures are finite and not negative.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the first other one.
    pub fn check(&self) -> Result<()> {
        match [self.start, self.end].into_iter().find(|value| !(value.is_finite() && *value >= 0.0)) {
            Some(value) => Err(Error::new(
                ErrorKind::Settings,
                format!("temperature {value}; give 0, or a positive number such as 1"),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Annealing, Schedule};

    #[test]
    fn temperatures_fall_linearly_and_stay() {
        let annealing = Annealing { start: 2.0, end: 0.5, steps: 3 };
        assert_eq!([1, 2, 3, 4, 99].map(|step| annealing.temperature(step)), [2.0, 1.5, 1.0, 0.5, 0.5]);
        assert!(!annealing.is_zero() && Annealing::default().is_zero());
        assert_eq!(Annealing { steps: 0, ..annealing }.temperature(1), 0.5);
        assert!(Annealing { start: 3.0, end: 0.0, steps: 0 }.is_zero());
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Annealing { end: bad, ..annealing }.check().unwrap_err().to_string().contains("give 0"));
        }
        annealing.check().unwrap();
    }

    #[test]
    fn warm_up_rises_and_cosine_falls_to_zero() {
        let cosine = Schedule::Cosine { steps: 110 };
        assert_eq!(cosine.rate(1.0, 10, 1), 0.1);
        assert_eq!(cosine.rate(1.0, 10, 10), 1.0);
        assert_eq!(cosine.rate(1.0, 10, 11), 1.0);
        assert!((cosine.rate(1.0, 10, 61) - 0.5).abs() < 1e-12);
        assert!(cosine.rate(1.0, 10, 111) < 1e-12);
        assert_eq!(Schedule::Constant.rate(2.0, 0, 1), 2.0);
    }
}
