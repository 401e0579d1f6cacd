//! Race between the variants of a kernel at one shape.
//!
//! Variants are timed alternately, and the shortest time counts. A variant wins if it is more than 5 % faster than the
//! default in two races.

use std::time::Instant;

use crate::bench::key::RowKey;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Profile, TunedVariant, Tuning, VariantSelection, View};
use crate::kernels::{Comparison, POISON};

/// Minimum ratio of the default's time to a variant's time for the variant to be preferred.
const CLEAR: f64 = 1.05;
/// Minimum and maximum number of rounds. A round times every variant once, except dropped ones.
const LEAST_ROUNDS: u32 = 5;
const MOST_ROUNDS: u32 = 25;
/// Maximum ratio of a variant's shortest time to that of the fastest; beyond it the variant is dropped after the first
/// round.
const HOPELESS: f64 = 1.5;

/// Result for one kernel and one class of shapes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Class of the shape.
    pub class: String,
    /// Default variant.
    pub default: &'static str,
    /// Fastest variant; the default if no other one is clearly faster.
    pub best: &'static str,
    /// Shortest time of the default divided by that of `best`, both of the whole plan. Of two races, the shorter time
    /// of the default and the longer one of `best` count.
    pub gain: f64,
    /// Shortest time in milliseconds of each variant that is bit-identical to the default.
    pub times: Vec<(&'static str, f64)>,
    /// Reason why a variant, or all of them, were excluded.
    pub remark: Option<String>,
    /// Whether the default itself is wrong at this shape, in which case nothing was timed.
    pub failed: bool,
}

/// Variant races of a tuning.
pub(crate) struct VariantRace {
    /// Time budget of a race in milliseconds.
    pub budget_ms: f64,
    /// Time at which to stop.
    pub deadline: Instant,
    /// Results so far.
    pub verdicts: Vec<Verdict>,
    /// Whether some races did not run because of the deadline.
    pub unfinished: bool,
}

/// Outputs of a plan, poisoned before it runs and read afterwards.
struct Outputs<'a> {
    gpu: &'a Gpu,
    views: &'a [View],
}

impl Outputs<'_> {
    fn poison(&self) -> Result<()> {
        self.views.iter().try_for_each(|view| view.write(self.gpu, &vec![POISON; (view.bytes() / 4) as usize]))
    }

    fn words(&self) -> Result<Vec<Vec<u32>>> {
        self.views.iter().map(|view| view.read(self.gpu, (view.bytes() / 4) as usize)).collect()
    }
}

impl VariantRace {
    /// Runs a race for each variant selection that recording the plan makes and that is not decided yet. The default
    /// must pass the correctness check of the kernel; every other variant is timed only if it is bit-identical to the
    /// default.
    pub(crate) fn hold(
        &mut self,
        gpu: &Gpu,
        title: &RowKey,
        outputs: &[View],
        record: impl Fn(&mut Plan) -> Result<()>,
        check: impl FnOnce(&Gpu) -> Result<Vec<Comparison>>,
    ) -> Result<()> {
        let logged = gpu.with_tuning(Tuning::default()).with_selection_log();
        let mut default = Plan::new(&logged);
        record(&mut default)?;
        let mut selections = logged.selections();
        selections.retain(|selection| selection.bit_identical.len() > 1 && !self.is_decided(selection));
        selections.dedup();
        if selections.is_empty() || self.is_over() {
            return Ok(());
        }
        let outputs = Outputs { gpu, views: outputs };
        outputs.poison()?;
        default.run()?;
        let wrong = check(gpu)?.into_iter().find(|compared| !compared.passed());
        let words = outputs.words()?;
        for selection in &selections {
            let mut verdict = Verdict::undecided(selection);
            match &wrong {
                Some(wrong) => {
                    verdict.failed = true;
                    verdict.remark = Some(format!(
                        "wrong: {} {} has an error of {:.1e}, the tolerance is {:.1e}",
                        title.kernel, wrong.output, wrong.error, wrong.tolerance
                    ));
                }
                None => self.decide(&mut verdict, selection, &default, &outputs, &words, &record)?,
            }
            self.verdicts.push(verdict);
        }
        Ok(())
    }

    /// Whether the deadline has passed. Once true, the remaining selections stay undecided.
    pub(crate) fn is_over(&mut self) -> bool {
        self.unfinished |= Instant::now() > self.deadline;
        self.unfinished
    }

    fn is_decided(&self, selection: &VariantSelection) -> bool {
        self.verdicts.iter().any(|verdict| verdict.kernel == selection.kernel && verdict.class == selection.class)
    }

    /// Times the default against the variants that give the same `words`.
    fn decide(
        &self,
        verdict: &mut Verdict,
        selection: &VariantSelection,
        default: &Plan,
        outputs: &Outputs<'_>,
        words: &[Vec<u32>],
        record: &impl Fn(&mut Plan) -> Result<()>,
    ) -> Result<()> {
        let mut others = Vec::new();
        for variant in selection.bit_identical.iter().copied().filter(|variant| *variant != selection.default) {
            let mut tuning = Tuning::default();
            let preferred = TunedVariant { variant: variant.into(), instead_of: selection.default.into(), gain: 1.0 };
            tuning.set(selection.kernel, &selection.class, preferred);
            let mut plan = Plan::new(&outputs.gpu.with_tuning(tuning));
            record(&mut plan)?;
            outputs.poison()?;
            plan.run()?;
            match outputs.words()? == words {
                true => others.push((variant, plan)),
                false => verdict.remark = Some(format!("{variant} gives other bits here and is excluded")),
            }
        }
        let mut plans = vec![(selection.default, default)];
        plans.extend(others.iter().map(|(variant, plan)| (*variant, plan)));
        let times = self.race(&plans)?;
        verdict.times = plans.iter().zip(&times).map(|((variant, _), ms)| (*variant, *ms)).collect();
        let (fastest, _) = times.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &0.0));
        if times[0] > CLEAR * times[fastest] {
            // A second race, so that a lucky run among many variants does not count.
            let again = self.race(&[plans[0], plans[fastest]])?;
            let gain = times[0].min(again[0]) / times[fastest].max(again[1]);
            if gain > CLEAR {
                (verdict.best, verdict.gain) = (plans[fastest].0, gain);
            }
        }
        Ok(())
    }

    /// Shortest time in milliseconds of each plan, timed alternately so that other load affects all of them.
    fn race(&self, plans: &[(&str, &Plan)]) -> Result<Vec<f64>> {
        let start = Instant::now();
        let mut times = vec![f64::INFINITY; plans.len()];
        for round in 0..MOST_ROUNDS {
            if round >= LEAST_ROUNDS && start.elapsed().as_secs_f64() * 1e3 > self.budget_ms {
                break;
            }
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            for (i, (_, plan)) in plans.iter().enumerate() {
                // The first plan is the default, whose time is always needed.
                if i == 0 || round == 0 || times[i] <= HOPELESS * least {
                    times[i] = times[i].min(plan.timing(Profile { warmup: 0, runs: 1 })?.milliseconds[0]);
                }
            }
        }
        Ok(times)
    }
}

impl Verdict {
    /// Verdict in favor of the default, without times.
    fn undecided(selection: &VariantSelection) -> Self {
        Self {
            kernel: selection.kernel,
            class: selection.class.clone(),
            default: selection.default,
            best: selection.default,
            gain: 1.0,
            times: Vec::new(),
            remark: None,
            failed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::shape::BenchShape;
    use crate::kernels::linear::{Extra, LinearProduct, LinearShape};

    /// Verdicts on a product whose other variants multiply by another weight if `others_differ`, and whose default has
    /// the error `error`.
    fn verdicts(gpu: &Gpu, others_differ: bool, error: f64, seconds: u64) -> Vec<Verdict> {
        let upload = |values: [f32; 16]| gpu.upload("test", &values).unwrap();
        let (x, right, wrong) = (upload([1.0; 16]), upload([2.0; 16]), upload([3.0; 16]));
        let y = gpu.buffer("y", 16).unwrap();
        let record = |plan: &mut Plan| {
            let weight = if others_differ && !plan.gpu().tuning().is_empty() { &wrong } else { &right };
            let (x, weight, y) = (x.view(), weight.view(), y.view());
            LinearProduct { x, weight, bias: None, extra: Extra::None, y }.record(plan, &LinearShape::forward(4, 4, 4))
        };
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut race = VariantRace { budget_ms: 0.0, deadline, verdicts: Vec::new(), unfinished: false };
        let title = RowKey::new("linear_product", "forward", &BenchShape(vec![4, 4, 4]));
        let check = || vec![Comparison { output: "y", error, tolerance: 1e-6 }];
        let views = [y.view()];
        // The second time, nothing is left to decide.
        for _ in 0..2 {
            race.hold(gpu, &title, &views, record, |_| Ok(check())).unwrap();
        }
        assert_eq!(race.unfinished, seconds == 0 && gpu.subgroup_size().is_some());
        race.verdicts
    }

    #[test]
    fn only_variants_that_are_right_take_part() {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        if gpu.subgroup_size().is_none() {
            assert!(verdicts(&gpu, false, 0.0, 60).is_empty(), "a kernel with one variant has no race");
            return;
        }
        let [fair] = verdicts(&gpu, false, 0.0, 60).try_into().unwrap();
        assert!(fair.times.len() > 1 && fair.remark.is_none() && !fair.failed, "{fair:?}");
        let [alone] = verdicts(&gpu, true, 0.0, 60).try_into().unwrap();
        assert_eq!((alone.times.len(), alone.best), (1, alone.default), "{alone:?}");
        assert!(alone.remark.unwrap().contains("other bits"));
        let [failed] = verdicts(&gpu, false, 1.0, 60).try_into().unwrap();
        assert!(failed.failed && failed.times.is_empty() && failed.best == failed.default, "{failed:?}");
        assert!(failed.remark.unwrap().contains("wrong"));
        assert!(verdicts(&gpu, false, 0.0, 0).is_empty());
    }
}
