//! Forms of a kernel against each other, at one shape.

use std::time::Instant;

use super::session::Title;
use crate::error::Result;
use crate::gpu::{Asked, Gpu, Plan, Preferred, Profile, Tuning, View};
use crate::kernels::{Measured, POISON};

/// A form is preferred where the default takes longer by more than this.
const CLEAR: f64 = 1.05;
/// Rounds in which every form is timed once, before the fastest has to show it again.
const LEAST_ROUNDS: u32 = 5;
const MOST_ROUNDS: u32 = 25;
/// A form is out of the race where its least time is beyond that of the fastest by more than this.
const HOPELESS: f64 = 1.5;
/// Rounds before that.
const TRIES: u32 = 2;

/// What came out for one kernel and one class of shapes.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The kernel.
    pub kernel: &'static str,
    /// The class that the shape stands for.
    pub class: String,
    /// The form that the rule takes.
    pub default: &'static str,
    /// The fastest form, the default where none is clearly faster.
    pub best: &'static str,
    /// Least time of the default over that of `best`, both of all that is launched together; of two tries the smaller one
    /// of the default and the larger one of `best`.
    pub gain: f64,
    /// Least milliseconds of each form that gave the default's bits.
    pub times: Vec<(&'static str, f64)>,
    /// What disqualified a form, or all of them.
    pub remark: Option<String>,
    /// Whether the default itself is wrong here, so that nothing was timed.
    pub failed: bool,
}

/// Contests under way.
pub(super) struct Contest {
    /// Milliseconds of timed work that a contest may take.
    pub budget_ms: f64,
    /// When to stop.
    pub deadline: Instant,
    /// What came out so far.
    pub verdicts: Vec<Verdict>,
    /// Whether there was no time for some.
    pub unfinished: bool,
}

/// The outputs of a plan: fresh poison before it runs, words after it.
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

impl Contest {
    /// Contests for each choice that recording the plan asks about and that is not decided yet. The default passes the
    /// kernel's gate; every other form must then give the default's bits to be timed at all.
    pub fn hold(
        &mut self,
        gpu: &Gpu,
        title: &Title,
        outputs: &[View],
        record: impl Fn(&mut Plan) -> Result<()>,
        check: impl FnOnce(&Gpu) -> Result<Vec<Measured>>,
    ) -> Result<()> {
        let listening = gpu.with_tuning(Tuning::default()).listening();
        let mut default = Plan::new(&listening);
        record(&mut default)?;
        let mut asked = listening.asked();
        asked.retain(|asked| asked.alike.len() > 1 && !self.is_decided(asked));
        asked.dedup();
        if asked.is_empty() {
            return Ok(());
        }
        if self.is_over() {
            return Ok(());
        }
        let outputs = Outputs { gpu, views: outputs };
        outputs.poison()?;
        default.run()?;
        if let Some(wrong) = check(gpu)?.iter().find(|measured| !measured.passed()) {
            let remark = format!(
                "wrong: {} {} is off by {:.1e}, allowed are {:.1e}",
                title.kernel, wrong.output, wrong.error, wrong.tolerance
            );
            self.verdicts.extend(asked.iter().map(|asked| Verdict { failed: true, ..undecided(asked, &remark) }));
            return Ok(());
        }
        let words = outputs.words()?;
        for asked in &asked {
            let verdict = self.decide(gpu, asked, &default, &outputs, &words, &record)?;
            self.verdicts.push(verdict);
        }
        Ok(())
    }

    /// Whether time is up, which is remembered: what is left stays undecided.
    pub fn is_over(&mut self) -> bool {
        self.unfinished |= Instant::now() > self.deadline;
        self.unfinished
    }

    fn is_decided(&self, asked: &Asked) -> bool {
        self.verdicts.iter().any(|verdict| verdict.kernel == asked.kernel && verdict.class == asked.class)
    }

    fn decide(
        &self,
        gpu: &Gpu,
        asked: &Asked,
        default: &Plan,
        outputs: &Outputs<'_>,
        words: &[Vec<u32>],
        record: &impl Fn(&mut Plan) -> Result<()>,
    ) -> Result<Verdict> {
        let mut others = Vec::new();
        let mut remark = None;
        for form in asked.alike.iter().copied().filter(|form| *form != asked.default) {
            let mut tuning = Tuning::default();
            let preferred = Preferred { form: form.into(), instead_of: asked.default.into(), gain: 1.0 };
            tuning.set(asked.kernel, &asked.class, preferred);
            let mut plan = Plan::new(&gpu.with_tuning(tuning));
            record(&mut plan)?;
            outputs.poison()?;
            plan.run()?;
            match outputs.words()? == words {
                true => others.push((form, plan)),
                false => remark = Some(format!("{form} gives other bits here and is left out")),
            }
        }
        let mut plans = vec![(asked.default, default)];
        plans.extend(others.iter().map(|(form, plan)| (*form, plan)));
        let times = self.race(&plans)?;
        let (fastest, _) = times.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &0.0));
        let mut verdict = Verdict {
            times: plans.iter().zip(&times).map(|((form, _), ms)| (*form, *ms)).collect(),
            remark,
            ..undecided(asked, "")
        };
        if times[0] > CLEAR * times[fastest] {
            // Once more, so that luck in one of many is not taken for speed.
            let again = self.race(&[plans[0], plans[fastest]])?;
            let gain = times[0].min(again[0]) / times[fastest].max(again[1]);
            if gain > CLEAR {
                (verdict.best, verdict.gain) = (plans[fastest].0, gain);
            }
        }
        Ok(verdict)
    }

    /// Least milliseconds of each plan, timed by turns so that what slows the machine down slows all of them.
    fn race(&self, plans: &[(&str, &Plan)]) -> Result<Vec<f64>> {
        let once = |plan: &Plan| plan.timing(Profile { warmup: 0, runs: 1 }).map(|timing| timing.milliseconds[0]);
        let start = Instant::now();
        let mut times = vec![f64::INFINITY; plans.len()];
        for round in 0..MOST_ROUNDS {
            if round >= LEAST_ROUNDS && start.elapsed().as_secs_f64() * 1e3 > self.budget_ms {
                break;
            }
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            for (i, (_, plan)) in plans.iter().enumerate() {
                let hurries = start.elapsed().as_secs_f64() * 1e3 > self.budget_ms;
                // The first is the default, whose time is needed in any case.
                if i == 0 || round == 0 || round < TRIES && !hurries || times[i] <= HOPELESS * least {
                    times[i] = times[i].min(once(plan)?);
                }
            }
        }
        Ok(times)
    }
}

/// The default, for want of anything better.
fn undecided(asked: &Asked, remark: &str) -> Verdict {
    Verdict {
        kernel: asked.kernel,
        class: asked.class.clone(),
        default: asked.default,
        best: asked.default,
        gain: 1.0,
        times: Vec::new(),
        remark: Some(remark.into()).filter(|remark: &String| !remark.is_empty()),
        failed: false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::BenchShape;
    use super::*;
    use crate::kernels::linear::{Extra, LinearProduct, LinearShape};

    /// The verdicts on a product whose other forms multiply by another weight where `others_differ`, and whose default is
    /// off by `error`.
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
        let mut contest = Contest { budget_ms: 0.0, deadline, verdicts: Vec::new(), unfinished: false };
        let title = Title::new("linear_product", "forward", &BenchShape(vec![4, 4, 4]));
        let check = || vec![Measured { output: "y", error, tolerance: 1e-6 }];
        let views = [y.view()];
        // The second time there is nothing left to decide.
        for _ in 0..2 {
            contest.hold(gpu, &title, &views, record, |_| Ok(check())).unwrap();
        }
        assert_eq!(contest.unfinished, seconds == 0 && gpu.subgroup_size().is_some());
        contest.verdicts
    }

    #[test]
    fn only_forms_that_are_right_take_part() {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        if gpu.subgroup_size().is_none() {
            assert!(verdicts(&gpu, false, 0.0, 60).is_empty(), "a kernel with one form has no contest");
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
