//! Settings of a benchmark.

use super::shape::BenchShape;
use super::subject::Subject;
use crate::arena::{ArenaConfig, AttentionProblem, Candidate, Mask, Pass, Suite};
use crate::gpu::{DType, Gpu};

/// Settings of a benchmark.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BenchConfig {
    /// Subjects in the order of measurement.
    pub subjects: Vec<Subject>,
    /// Shapes, for a single subject that has shapes; if empty, those of [`Subject::shapes`].
    pub shapes: Vec<BenchShape>,
    /// Problems of attention instead of those of `suites`.
    pub problems: Vec<AttentionProblem>,
    /// Suites of attention.
    pub suites: Vec<Suite>,
    /// Restriction of the problems of attention to these masks; empty: all.
    pub masks: Vec<Mask>,
    /// The same for passes.
    pub passes: Vec<Pass>,
    /// Element types of attention.
    pub dtypes: Vec<DType>,
    /// Kernels of attention; empty: those of this crate. A kernel that never ends makes the benchmark wait.
    pub candidates: Vec<Candidate>,
    /// Least total time of the timed runs of a row of attention in milliseconds.
    pub least_ms: f64,
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
        Self {
            subjects,
            shapes: Vec::new(),
            problems: Vec::new(),
            suites: vec![Suite::Short],
            masks: Vec::new(),
            passes: Vec::new(),
            dtypes: vec![DType::F32],
            candidates: Vec::new(),
            least_ms: 20.0,
            runs: 10,
            warmup: 2,
            seed: 0,
            variant: None,
        }
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

    /// Settings of [`crate::arena`] for these.
    pub fn arena(&self, gpu: &Gpu) -> ArenaConfig {
        let mut arena = ArenaConfig::new(gpu);
        (arena.runs, arena.warmup, arena.seed, arena.least_ms) = (self.runs, self.warmup, self.seed, self.least_ms);
        arena
    }

    /// Problems of attention: the given ones or those of the suites, in all element types, within the restrictions.
    pub fn attention_problems(&self) -> Vec<AttentionProblem> {
        let all = if self.problems.is_empty() {
            self.suites.iter().flat_map(|suite| suite.problems()).collect()
        } else {
            self.problems.clone()
        };
        let is_wanted = |problem: &AttentionProblem| {
            let has_mask = self.masks.is_empty() || self.masks.contains(&problem.mask);
            has_mask && (self.passes.is_empty() || self.passes.contains(&problem.pass))
        };
        let wanted = all.into_iter().filter(is_wanted);
        wanted
            .flat_map(|problem| self.dtypes.iter().map(move |dtype| AttentionProblem { dtype: *dtype, ..problem }))
            .collect()
    }
}
