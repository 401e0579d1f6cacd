//! Settings of sampling.

use crate::error::{Error, ErrorKind, Result};

/// Settings of [`super::GptSampler::sample`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingSettings {
    /// Number of tokens to sample for each sequence.
    pub new_tokens: usize,
    /// Temperature by which logits are divided.
    pub temperature: f64,
    /// Number of most probable tokens that are sampled; `None` for all.
    pub top_k: Option<usize>,
    /// Probability of the smallest set of most probable tokens that are sampled; 1 for all.
    pub top_p: f64,
    /// Whether the most probable token is taken instead of a random one.
    pub greedy: bool,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for SamplingSettings {
    /// 100 tokens of the full distribution.
    fn default() -> Self {
        Self { new_tokens: 100, temperature: 1.0, top_k: None, top_p: 1.0, greedy: false, seed: 0 }
    }
}

impl SamplingSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the remedy if a setting is invalid.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        let Self { temperature, top_k, top_p, .. } = *self;
        if temperature == 0.0 {
            return error(
                "temperature 0; give greedy=true for the most probable token, or a positive temperature".into(),
            );
        }
        if !(temperature.is_finite() && (1e-3..=1e3).contains(&temperature)) {
            return error(format!("temperature {temperature}; give a number from 0.001 to 1000, such as 0.8"));
        }
        if top_k == Some(0) {
            return error("top_k 0; give at least 1, or leave it out for all tokens".into());
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return error(format!("top_p {top_p}; give a number above 0 and at most 1, such as 0.9"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused_with_a_remedy() {
        let base = SamplingSettings::default();
        base.check().unwrap();
        for (settings, remedy) in [
            (SamplingSettings { temperature: 0.0, ..base }, "greedy=true"),
            (SamplingSettings { temperature: -1.0, ..base }, "such as 0.8"),
            (SamplingSettings { temperature: f64::NAN, ..base }, "such as 0.8"),
            (SamplingSettings { temperature: f64::INFINITY, ..base }, "such as 0.8"),
            (SamplingSettings { top_k: Some(0), ..base }, "at least 1"),
            (SamplingSettings { top_p: 0.0, ..base }, "such as 0.9"),
            (SamplingSettings { top_p: 1.1, ..base }, "such as 0.9"),
            (SamplingSettings { top_p: f64::NAN, ..base }, "such as 0.9"),
        ] {
            let message = settings.check().unwrap_err().to_string();
            assert!(message.contains(remedy), "{message}");
        }
    }
}
