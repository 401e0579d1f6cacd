//! Subjects of the benchmarks, with their shapes.

use std::fmt;
use std::str::FromStr;

use super::BenchShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;

/// Subject of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Limits of the adapter: multiply-adds, memory, shuffles, launches, submissions.
    Limits,
    /// Attention: forward, forward with backward, decoding, suffixes; shapes (B, H, T, D).
    Attention,
    /// Matrix products: forward, both gradients, the feed-forward part; shapes (rows, inner, columns).
    Matmul,
    /// Layer normalization; shapes (rows, C).
    Norm,
    /// Categorical head over the outcomes of a patch; shapes (rows, V).
    Head,
    /// Connected configurations of a training step; shapes (L, K, Nh): sites, samples, width of a PTF with 2x2 patches.
    Moves,
    /// Training step, whole and by parts; shapes as for [`Subject::Moves`].
    Step,
    /// Training step of a recurrent wave function with 2x2 patches.
    StepRnn,
    /// Training step of a large-patched transformer with 4x4 patches, drawn by a recurrent wave function in 2x2
    /// patches, within 1 GiB.
    StepLptf,
    /// Step of stochastic reconfiguration within 2 GiB: samples and energies, the Gram matrix, its solution, the
    /// update; shapes as for [`Subject::Moves`], of a PTF whose feed-forward part is four times as wide as the model.
    StepSr,
    /// Sampling, log-probabilities and local energies against the number of sites; shapes (sites, samples).
    Scaling,
}

impl Subject {
    /// All subjects.
    pub const ALL: [Self; 11] = [
        Self::Limits,
        Self::Attention,
        Self::Matmul,
        Self::Norm,
        Self::Head,
        Self::Moves,
        Self::Step,
        Self::StepRnn,
        Self::StepLptf,
        Self::StepSr,
        Self::Scaling,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Attention => "attention",
            Self::Matmul => "matmul",
            Self::Norm => "norm",
            Self::Head => "head",
            Self::Moves => "moves",
            Self::Step => "step",
            Self::StepRnn => "step-rnn",
            Self::StepLptf => "step-lptf",
            Self::StepSr => "step-sr",
            Self::Scaling => "scaling",
        }
    }

    /// Names of the sizes of a shape.
    pub fn sizes(self) -> &'static [&'static str] {
        match self {
            Self::Limits => &[],
            Self::Attention => &["samples", "heads", "positions", "width of a head"],
            Self::Matmul => &["rows", "inner", "columns"],
            Self::Norm => &["rows", "width"],
            Self::Head => &["rows", "outcomes"],
            Self::Moves | Self::Step | Self::StepRnn | Self::StepLptf | Self::StepSr => &["sites", "samples", "width"],
            Self::Scaling => &["sites", "samples"],
        }
    }

    /// Default shapes.
    pub fn shapes(self) -> Vec<BenchShape> {
        let shapes: &[&[u32]] = match self {
            Self::Limits => &[],
            Self::Attention => &[&[256, 8, 16, 16], &[64, 8, 64, 16], &[16, 8, 256, 64]],
            Self::Matmul => &[&[512, 512, 512], &[4096, 128, 512], &[16384, 32, 2048], &[16384, 2048, 32]],
            Self::Norm => &[&[16384, 32], &[65536, 128]],
            Self::Head => &[&[65536, 16], &[1024, 4096]],
            Self::Moves | Self::Step => &[&[16, 256, 32]],
            Self::StepRnn => &[&[64, 256, 128]],
            Self::StepLptf => &[&[256, 64, 128]],
            Self::StepSr => &[&[16, 2000, 112]],
            Self::Scaling => &[&[16, 64], &[64, 64], &[144, 64], &[256, 64], &[400, 64], &[576, 64], &[1024, 64]],
        };
        shapes.iter().map(|sizes| BenchShape(sizes.to_vec())).collect()
    }

    /// Example of a shape as on the command line.
    pub(super) fn example(self) -> String {
        self.shapes().first().map_or_else(String::new, BenchShape::to_string)
    }

    /// Checks that the kernels support this shape; needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], naming the limit.
    pub fn check(self, shape: &BenchShape) -> Result<()> {
        let name = self.name();
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("bench {name}: {message}")));
        let expected = self.sizes();
        if expected.is_empty() {
            return error(format!("takes no shape, got {shape}; leave --shape out"));
        }
        if shape.0.len() != expected.len() {
            let (names, example) = (expected.join(", "), self.example());
            return error(format!(
                "shape {shape} has {} sizes, expected {} ({names}); give for example {example}",
                shape.0.len(),
                expected.len()
            ));
        }
        match (self, shape.0.as_slice()) {
            (Self::Attention, [.., d]) if *d > 128 => {
                error(format!("shape {shape} has heads of width {d}, the kernels' limit is 128; give a smaller width"))
            }
            (Self::Head, [_, v]) if !v.is_power_of_two() || !(2..=4096).contains(v) => error(format!(
                "shape {shape} has {v} outcomes, the kernels take powers of two from 2 to 4096; give for example {}",
                self.example()
            )),
            (Self::Moves | Self::Step | Self::StepRnn | Self::StepLptf | Self::StepSr, [l, k, nh]) => {
                super::step::check(self, *l, *k, *nh)
            }
            (Self::Scaling, [sites, samples]) => super::scaling::check(*sites, *samples),
            (_, sizes) if bytes(self, sizes) >= 1 << 34 => error(format!(
                "shape {shape} needs a buffer of {} bytes, the kernels' limit is 16 GiB (32-bit indices); give smaller \
                 sizes",
                bytes(self, sizes)
            )),
            _ => Ok(()),
        }
    }

    /// Checks that the adapter can bind the buffers of this shape.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`], naming the limit.
    pub(super) fn check_adapter(self, gpu: &Gpu, shape: &BenchShape) -> Result<()> {
        let limits = gpu.limits();
        let (needed, name) = (bytes(self, &shape.0), self.name());
        let (limit, limit_name) = match (limits.max_storage_buffer_binding_size, limits.max_buffer_size) {
            (binding, buffer) if binding <= buffer => (binding, "max_storage_buffer_binding_size"),
            (_, buffer) => (buffer, "max_buffer_size"),
        };
        if needed > u128::from(limit) {
            let message = format!(
                "bench {name}: shape {shape} needs a buffer of {needed} bytes, this adapter's {limit_name} is {limit}; \
                 give smaller sizes"
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
        Ok(())
    }
}

/// Size in bytes of the largest buffer of a shape; 0 if a memory budget limits it.
fn bytes(subject: Subject, sizes: &[u32]) -> u128 {
    let product = |sizes: &[u32]| sizes.iter().map(|size| u128::from(*size)).product::<u128>();
    let elements = match (subject, sizes) {
        (Subject::Attention, _) => 3 * product(sizes),
        (Subject::Matmul, [rows, inner, columns]) => {
            // Partial sums of a weight gradient, one for each block of 512 rows.
            let part = product(&[rows.div_ceil(512), inner + 1, *columns]);
            product(&[*rows, *inner]).max(product(&[*rows, *columns])).max(product(&[*inner, *columns])).max(part)
        }
        (Subject::Norm | Subject::Head, [rows, width]) => product(&[*rows, (*width).max(4)]),
        _ => 0,
    };
    4 * elements
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

    fn check(subject: Subject, shape: &str) -> Result<()> {
        subject.check(&shape.parse()?)
    }

    #[test]
    fn names_and_default_shapes_are_understood() {
        for subject in Subject::ALL {
            assert_eq!(subject.to_string().parse::<Subject>().unwrap(), subject);
            subject.shapes().iter().for_each(|shape| subject.check(shape).unwrap());
        }
        assert!("atention".parse::<Subject>().unwrap_err().to_string().contains("attention"));
    }

    #[test]
    fn shapes_that_no_kernel_has_are_refused_with_the_limit() {
        for (subject, shape, said) in [
            (Subject::Attention, "2x2x4x129", "128"),
            (Subject::Attention, "2x2x4", "expected 4"),
            (Subject::Attention, "100000x100000x16x16", "16 GiB"),
            (Subject::Matmul, "4x4", "expected 3"),
            (Subject::Head, "4x17", "powers of two"),
            (Subject::Head, "4x8192", "4096"),
            (Subject::Limits, "4", "no shape"),
            (Subject::Step, "15x8x32", "15"),
            (Subject::Step, "16x1x32", "samples"),
            (Subject::Moves, "16x8x30", "30"),
            (Subject::Scaling, "16", "expected 2"),
            (Subject::Scaling, "36x64", "36"),
            (Subject::Scaling, "16x1", "samples"),
        ] {
            let error = check(subject, shape).unwrap_err();
            assert!(error.to_string().contains(said) && error.kind() == ErrorKind::Settings, "{error}");
        }
        assert!(check(Subject::Attention, "2x2x4x128").is_ok());
    }
}
