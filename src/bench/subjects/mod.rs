//! Subjects of the benchmarks, one file each.

pub(super) mod arena;
pub(super) mod attention;
mod categorical;
pub(super) mod gpt;
pub(super) mod limits;
pub(super) mod matmul;
pub(super) mod norm;
mod scaling;
mod shapes;
pub(super) mod step;

use super::session::Bench;
use super::shape::BenchShape;
use super::subject::Subject;
use crate::arena::BenchRow;
use crate::error::Result;

/// Measures `subject` at `shapes`. The limits, which were measured before, have the rows `limits`.
pub(super) fn run(session: &mut Bench<'_>, subject: Subject, shapes: &[BenchShape], limits: &[BenchRow]) -> Result<()> {
    let run = match subject {
        Subject::Limits => {
            limits::report(session, limits);
            return Ok(());
        }
        Subject::Attention => return Ok(()),
        Subject::LinearAttention => attention::run_linear,
        Subject::Suffix => attention::run_suffix,
        Subject::Matmul => matmul::run,
        Subject::Norm => norm::run,
        Subject::Categorical => categorical::run,
        Subject::Connected => step::run_connected,
        Subject::StepGpt => gpt::run,
        Subject::Step | Subject::StepRnn | Subject::StepLptf | Subject::StepSr => {
            return shapes.iter().try_for_each(|shape| step::run_step(session, subject, shape));
        }
        Subject::Scaling => scaling::run,
    };
    shapes.iter().try_for_each(|shape| run(session, shape))?;
    if subject == Subject::Scaling {
        scaling::find_laws(session);
    }
    Ok(())
}
