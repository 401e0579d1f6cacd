//! Benchmark of softmax attention: [`crate::arena`] on the problems of the settings.

use super::shapes::check_bytes;
use crate::arena::{Arena, AttentionProblem, BenchRow, Candidate, Event};
use crate::bench::config::BenchConfig;
use crate::bench::session::Bench;
use crate::bench::subject::Subject;
use crate::error::Result;
use crate::gpu::Gpu;

/// Measures all candidates on all problems.
pub(crate) fn run(session: &mut Bench<'_>, config: &BenchConfig) -> Result<()> {
    let variant = session.variant.clone();
    let mut arena = Arena::new(session.gpu, config.arena(session.gpu), session.limits.clone());
    for problem in config.attention_problems() {
        let candidates =
            if config.candidates.is_empty() { Candidate::ours(&problem) } else { config.candidates.clone() };
        let mut told: Vec<String> = Vec::new();
        let rows = arena.run(&problem, &candidates, &mut |event| {
            if let Event::Running { kernel, problem } = event
                && !told.iter().any(|known| known == kernel)
            {
                told.push(kernel.into());
                session.tell_words(&[
                    kernel,
                    &problem.pass.to_string(),
                    &problem.mask.to_string(),
                    &problem.to_string(),
                ]);
            }
        })?;
        // With a forced variant, rows of kernels that do not have it are left out.
        let has_variant = |row: &BenchRow| match (&variant, row.launched.split_once(" as ")) {
            (Some(variant), Some((_, taken))) => taken.split(' ').any(|taken| taken == variant),
            (Some(_), None) => row.error.is_some(),
            (None, _) => true,
        };
        rows.into_iter().filter(has_variant).for_each(|row| session.push(row));
    }
    Ok(())
}

/// Checks that the adapter can bind the tensors of a problem.
pub(crate) fn check_adapter(gpu: &Gpu, problem: &AttentionProblem) -> Result<()> {
    // Rows [q | k | v] are one buffer.
    let needed = 3 * problem.elements().into_iter().max().unwrap_or(0) * problem.dtype.bytes();
    check_bytes(gpu, Subject::Attention, problem, needed.into())
}
