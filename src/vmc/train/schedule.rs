//! Learning-rate schedules.

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

#[cfg(test)]
mod tests {
    use super::Schedule;

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
