//! Checks of shapes: those that the kernels support, and those that fit an adapter.

use std::fmt::Display;

use super::{gpt, scaling, step};
use crate::bench::shape::BenchShape;
use crate::bench::subject::Subject;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::attention::linear;

impl Subject {
    /// Checks that the kernels support this shape; needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], naming the limit.
    pub fn check(self, shape: &BenchShape) -> Result<()> {
        let name = self.name();
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("bench {name}: {message}")));
        let expected = self.sizes();
        if expected.is_empty() {
            return error(format!("takes no shape, got {shape}; give none"));
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
            (Self::LinearAttention, [.., t, d]) if *t > linear::most_positions(*d) => error(format!(
                "shape {shape} has {t} positions, the kernels' limit for this width is {}; give fewer",
                linear::most_positions(*d)
            )),
            (Self::Suffix, [.., 1, _]) => {
                error(format!("shape {shape} has one position, a suffix needs two; give more"))
            }
            (Self::LinearAttention | Self::Suffix, [.., d]) if *d > 128 => {
                error(format!("shape {shape} has heads of width {d}, the kernels' limit is 128; give a smaller width"))
            }
            (Self::Categorical, [_, v]) if !v.is_power_of_two() || !(2..=4096).contains(v) => error(format!(
                "shape {shape} has {v} outcomes, the kernels take powers of two from 2 to 4096; give for example {}",
                self.example()
            )),
            (Self::Connected | Self::Step | Self::StepRnn | Self::StepLptf | Self::StepSr, [l, k, nh]) => {
                step::check(self, *l, *k, *nh)
            }
            (Self::StepGpt, _) => gpt::check(shape.sizes()?),
            (Self::Scaling, [sites, samples]) => scaling::check(*sites, *samples),
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
    pub(crate) fn check_adapter(self, gpu: &Gpu, shape: &BenchShape) -> Result<()> {
        check_bytes(gpu, self, shape, bytes(self, &shape.0))
    }
}

/// Checks that the adapter can bind a buffer of `needed` bytes.
///
/// # Errors
/// [`ErrorKind::Memory`], naming the limit.
pub(super) fn check_bytes(gpu: &Gpu, subject: Subject, shape: &dyn Display, needed: u128) -> Result<()> {
    let limits = gpu.limits();
    let (limit, limit_name) = match (limits.max_storage_buffer_binding_size, limits.max_buffer_size) {
        (binding, buffer) if binding <= buffer => (binding, "max_storage_buffer_binding_size"),
        (_, buffer) => (buffer, "max_buffer_size"),
    };
    if needed > u128::from(limit) {
        let message = format!(
            "bench {subject}: shape {shape} needs a buffer of {needed} bytes, this adapter's {limit_name} is {limit}; give \
             smaller sizes"
        );
        return Err(Error::new(ErrorKind::Memory, message));
    }
    Ok(())
}

/// Size in bytes of the largest buffer of a shape; 0 if a memory budget limits it.
fn bytes(subject: Subject, sizes: &[u32]) -> u128 {
    let product = |sizes: &[u32]| sizes.iter().map(|size| u128::from(*size)).product::<u128>();
    let elements = match (subject, sizes) {
        (Subject::LinearAttention | Subject::Suffix, _) => 3 * product(sizes),
        (Subject::Matmul, [rows, inner, columns]) => {
            // Partial sums of a weight gradient, one for each block of 512 rows.
            let part = product(&[rows.div_ceil(512), inner + 1, *columns]);
            product(&[*rows, *inner]).max(product(&[*rows, *columns])).max(product(&[*inner, *columns])).max(part)
        }
        (Subject::Norm | Subject::Categorical, [rows, width]) => product(&[*rows, (*width).max(4)]),
        _ => 0,
    };
    4 * elements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subject: Subject, shape: &str) -> Result<()> {
        subject.check(&shape.parse()?)
    }

    #[test]
    fn default_shapes_are_supported() {
        Subject::ALL.iter().for_each(|subject| subject.shapes().iter().for_each(|shape| subject.check(shape).unwrap()));
    }

    #[test]
    fn shapes_that_no_kernel_has_are_refused_with_the_limit() {
        for (subject, shape, said) in [
            (Subject::Suffix, "2x2x4x129", "128"),
            (Subject::Suffix, "2x2x1x16", "one position"),
            (Subject::Attention, "2x2x4x16", "no shape"),
            (Subject::LinearAttention, "2x2x4", "expected 4"),
            (Subject::LinearAttention, "100000x100000x16x16", "16 GiB"),
            (Subject::Matmul, "4x4", "expected 3"),
            (Subject::Categorical, "4x17", "powers of two"),
            (Subject::Categorical, "4x8192", "4096"),
            (Subject::Limits, "4", "no shape"),
            (Subject::Step, "15x8x32", "15"),
            (Subject::Step, "16x1x32", "samples"),
            (Subject::Connected, "16x8x30", "30"),
            (Subject::StepGpt, "12x64", "expected 6"),
            (Subject::StepGpt, "12x64x4x5x128x65", "heads"),
            (Subject::Scaling, "16", "expected 2"),
            (Subject::Scaling, "36x64", "36"),
            (Subject::Scaling, "16x1", "samples"),
        ] {
            let error = check(subject, shape).unwrap_err();
            assert!(error.to_string().contains(said) && error.kind() == ErrorKind::Settings, "{error}");
        }
        assert!(check(Subject::LinearAttention, "2x2x4x128").is_ok());
    }
}
