//! Settings of a benchmark.

use super::shape::BenchShape;
use super::subject::Subject;

/// Settings of a benchmark.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BenchConfig {
    /// Subjects in the order of measurement.
    pub subjects: Vec<Subject>,
    /// Shapes, for a single subject that has shapes; if empty, those of [`Subject::shapes`].
    pub shapes: Vec<BenchShape>,
    /// Number of timed runs per row, at least 1.
    pub runs: u32,
    /// Number of runs before the first timed run.
    pub warmup: u32,
    /// Seed of the inputs.
    pub seed: u64,
    /// Forced variant: only kernels that have a variant of this name are measured. With [`STORAGE`] all kernels are
    /// measured, and none of them reads textures.
    pub variant: Option<String>,
}

/// Variant of all kernels that reads storage buffers where the default reads textures, see
/// [`Gpu::reads_texels`](crate::gpu::Gpu::reads_texels).
pub const STORAGE: &str = "storage";

impl BenchConfig {
    /// Default settings for these subjects.
    pub fn new(subjects: Vec<Subject>) -> Self {
        Self { subjects, shapes: Vec::new(), runs: 10, warmup: 2, seed: 0, variant: None }
    }
}

impl Default for BenchConfig {
    fn default() -> Self {
        Self::new(vec![Subject::Limits, Subject::Attention, Subject::Matmul])
    }
}

impl BenchConfig {
    /// Shapes of a subject: the given or the default ones.
    pub(super) fn shapes_of(&self, subject: Subject) -> Vec<BenchShape> {
        if self.shapes.is_empty() { subject.shapes() } else { self.shapes.clone() }
    }
}
