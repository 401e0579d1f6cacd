//! Subjects of the benchmarks, with their shapes.

use std::fmt;
use std::str::FromStr;

use super::shape::BenchShape;
use crate::error::{Error, ErrorKind, Result};

/// Subject of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Limits of the adapter: multiply-adds, memory, shuffles, launches, submissions.
    Limits,
    /// Softmax attention, in suites of shapes; see [`crate::arena`].
    Attention,
    /// Linear attention: forward, forward with backward, decoding, suffixes; shapes (B, H, T, D).
    LinearAttention,
    /// Softmax attention of changed suffixes of samples; shapes (B, H, T, D).
    Suffix,
    /// Matrix products: forward, both gradients, the feed-forward part; shapes (rows, inner, columns).
    Matmul,
    /// Layer normalization; shapes (rows, C).
    Norm,
    /// Categorical distribution of the outcomes of a patch; shapes (rows, V).
    Categorical,
    /// Connected configurations of a training step; shapes (L, K, Nh): sites, samples, width of a PTF with 2x2 patches.
    Connected,
    /// Training step, whole and by parts; shapes as for [`Subject::Connected`].
    Step,
    /// Training step of a recurrent wave function with 2x2 patches.
    StepRnn,
    /// Training step of a large-patched transformer with 4x4 patches, drawn by a recurrent wave function in 2x2
    /// patches, within 1 GiB.
    StepLptf,
    /// Step of stochastic reconfiguration within 2 GiB: samples and energies, the Gram matrix, its solution, the
    /// update; shapes as for [`Subject::Connected`], of a PTF whose feed-forward part is four times as wide as the model.
    StepSr,
    /// Training step of a GPT; shapes (windows of a batch, positions, layers, heads, width, tokens of the vocabulary).
    StepGpt,
    /// Sampling, log-probabilities and local energies against the number of sites; shapes (sites, samples).
    Scaling,
}

impl Subject {
    /// All subjects.
    pub const ALL: [Self; 14] = [
        Self::Limits,
        Self::Attention,
        Self::LinearAttention,
        Self::Suffix,
        Self::Matmul,
        Self::Norm,
        Self::Categorical,
        Self::Connected,
        Self::Step,
        Self::StepRnn,
        Self::StepLptf,
        Self::StepSr,
        Self::StepGpt,
        Self::Scaling,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Attention => "attention",
            Self::LinearAttention => "linear-attention",
            Self::Suffix => "suffix",
            Self::Matmul => "matmul",
            Self::Norm => "norm",
            Self::Categorical => "categorical",
            Self::Connected => "connected",
            Self::Step => "step",
            Self::StepRnn => "step-rnn",
            Self::StepLptf => "step-lptf",
            Self::StepSr => "step-sr",
            Self::StepGpt => "step-gpt",
            Self::Scaling => "scaling",
        }
    }

    /// Names of the sizes of a shape.
    pub fn sizes(self) -> &'static [&'static str] {
        match self {
            Self::Limits => &[],
            Self::Attention => &[],
            Self::LinearAttention | Self::Suffix => &["samples", "heads", "positions", "width of a head"],
            Self::Matmul => &["rows", "inner", "columns"],
            Self::Norm => &["rows", "width"],
            Self::Categorical => &["rows", "outcomes"],
            Self::Connected | Self::Step | Self::StepRnn | Self::StepLptf | Self::StepSr => {
                &["sites", "samples", "width"]
            }
            Self::StepGpt => &["windows", "positions", "layers", "heads", "width", "vocabulary"],
            Self::Scaling => &["sites", "samples"],
        }
    }

    /// Default shapes.
    pub fn shapes(self) -> Vec<BenchShape> {
        let shapes: &[&[u32]] = match self {
            Self::Limits | Self::Attention => &[],
            Self::LinearAttention | Self::Suffix => &[&[256, 8, 16, 16], &[64, 8, 64, 16], &[16, 8, 256, 64]],
            Self::Matmul => &[&[512, 512, 512], &[4096, 128, 512], &[16384, 32, 2048], &[16384, 2048, 32]],
            Self::Norm => &[&[16384, 32], &[65536, 128]],
            Self::Categorical => &[&[65536, 16], &[1024, 4096]],
            Self::Connected | Self::Step => &[&[16, 256, 32]],
            Self::StepRnn => &[&[64, 256, 128]],
            Self::StepLptf => &[&[256, 64, 128]],
            Self::StepSr => &[&[16, 2000, 112]],
            Self::StepGpt => &[&[12, 64, 4, 4, 128, 65]],
            Self::Scaling => &[&[16, 64], &[64, 64], &[144, 64], &[256, 64], &[400, 64], &[576, 64], &[1024, 64]],
        };
        shapes.iter().map(|sizes| BenchShape(sizes.to_vec())).collect()
    }

    /// Example of a shape as on the command line.
    pub(super) fn example(self) -> String {
        self.shapes().first().map_or_else(String::new, BenchShape::to_string)
    }
}

impl FromStr for Subject {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Settings`], with all names.
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            let message = format!("bench: unknown subject `{text}`; give {}", names.join(", "));
            Error::new(ErrorKind::Settings, message)
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        for subject in Subject::ALL {
            assert_eq!(subject.to_string().parse::<Subject>().unwrap(), subject);
        }
        assert!("atention".parse::<Subject>().unwrap_err().to_string().contains("attention"));
    }
}
