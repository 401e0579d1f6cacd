//! Test cases of [`crate::kernels::attention::general::scores`].

use super::{GeneralCase, Made, general_cases};
use crate::gpu::{Gpu, Plan};
use crate::kernels::attention::cases::narrow;
use crate::kernels::attention::general::scores::{GeneralScores, SCORES, ScoresOf};
use crate::kernels::attention::general::{general_forward_reference, general_scores_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected};

pub(crate) const SCORES_ENTRY: Entry =
    Entry { kernel: &SCORES, summary: "scores or probabilities of general attention", cases };

const ALL: [ScoresOf; 4] = [ScoresOf::Probabilities, ScoresOf::Scores, ScoresOf::Capped, ScoresOf::Products];

/// Cases of all options, of which each kind of scores takes its turn.
fn cases(gpu: &Gpu) -> Vec<Case> {
    general_cases(gpu).into_iter().enumerate().map(|(turn, of)| case(of, ALL[turn % 4])).collect()
}

fn case(case: GeneralCase, of: ScoresOf) -> Case {
    let made = Made::new(&case);
    let (_, lse) = general_forward_reference(&made.inputs(), &case.shape);
    let values = general_scores_reference(&made.inputs(), &case.shape, of);
    let mut inputs = made.buffers;
    inputs.retain(|(name, _)| *name != "v");
    inputs.push(("lse", narrow(&lse).into()));
    let (name, shape) = (format!("{of:?} {}", case.name()), case.shape);
    let record =
        move |plan: &mut Plan, buffers: &CaseBuffers| GeneralScores::from_case(buffers)?.record(plan, &shape, of);
    Case {
        name,
        inputs,
        outputs: vec![("score", Expected::Near { values, tolerance: 1e-5 })],
        record: Box::new(record),
    }
}
