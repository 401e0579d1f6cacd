//! Race of both engines in one benchmark: every variant checked, the fastest correct one of each timed alternately, and
//! whether its results have the same bits in repeated runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use burn_cubecl::CubeDevice;
use ketformer::arena::Status;
use ketformer::gpu::Gpu;

use crate::check::{self, Expected};
use crate::clock::{self, Rounds};
use crate::engine::{Form, Prepared, Result};
use crate::report::{Engine, Race, Ratio, Row};
use crate::sizes::Sizes;
use crate::work::{AttentionInputs, LayerInputs, Work};
use crate::{burn, ours};

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Rounds of the race.
    pub rounds: Rounds,
    /// Runs of each variant before, after compilation and tuning.
    pub warmup: usize,
    /// Calls per run; `None`: as many as take long enough.
    pub calls: Option<usize>,
    /// Runs with the same inputs whose bits are compared.
    pub repeats: usize,
    /// Seed of the inputs.
    pub seed: u64,
}

/// Both engines on the same adapter.
pub struct Engines {
    pub gpu: Gpu,
    pub burn: CubeDevice,
}

/// Correct variant with its row, time and outputs.
struct Candidate {
    form: Box<dyn Form>,
    row: usize,
    ms: f64,
    made: Vec<Vec<f32>>,
}

/// Variants of an engine that were tried, with what their outputs are compared with.
struct Trial<'a> {
    engine: Engine,
    expected: &'a [Expected],
    /// Outputs of the other engine.
    others: Option<&'a [Vec<f32>]>,
    warmup: usize,
}

impl Trial<'_> {
    /// Warms up all variants, adds their rows, and returns the fastest correct one.
    fn fastest(&self, work: &Work, forms: Vec<Prepared>, rows: &mut Vec<Row>) -> Option<Candidate> {
        let mut fastest: Option<Candidate> = None;
        for (name, form) in forms {
            eprint!("    {} {name}: ", self.engine.name());
            let start = Instant::now();
            let mut row = Row::new(work, self.engine, name);
            let measured = form.and_then(|form| self.measured(form, &mut row));
            let (status, error) = match &measured {
                Ok(_) => (row.status, row.error.take()),
                Err(error) => (Status::RuntimeError, Some(one_line(&error.to_string()))),
            };
            (row.status, row.error) = (status, error);
            eprintln!("{} ({:.0} s with compilation and tuning)", row.outcome(), start.elapsed().as_secs_f64());
            if let (Ok((form, made)), Status::Passed, Some(ms)) = (measured, row.status, row.ms()) {
                if fastest.as_ref().is_none_or(|fastest| ms < fastest.ms) {
                    fastest = Some(Candidate { form, row: rows.len(), ms, made });
                }
            }
            rows.push(row);
        }
        fastest
    }

    /// Warms up a variant and compares its outputs. burn panics if a kernel does not compile.
    fn measured(&self, mut form: Box<dyn Form>, row: &mut Row) -> Result<(Box<dyn Form>, Vec<Vec<f32>>)> {
        let measured = catch_unwind(AssertUnwindSafe(|| -> Result<(Vec<f64>, Vec<Vec<f32>>)> {
            let times = clock::warm(form.as_mut(), self.warmup)?;
            Ok((times, form.read()?))
        }));
        let (times, made) = measured.map_err(|_| "it panicked, see above")??;
        let error = check::error_of(&made, self.expected);
        let difference = self.others.map(|others| check::difference(others, &made));
        (row.times, row.max_error) = (times, Some(error));
        if error.max(difference.unwrap_or(0.0)) > check::TOLERANCE {
            let from_other = difference.map_or_else(String::new, |d| format!(", {d:.1e} from the other engine"));
            row.status = Status::IncorrectNumerical;
            row.error = Some(format!("error {error:.1e}{from_other}; tolerance {:.0e}", check::TOLERANCE));
        }
        Ok((form, made))
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().into()
}

/// Checks and races both engines in a benchmark.
pub fn race(engines: &Engines, work: &Work, settings: &Settings) -> Race {
    let mut race = Race { work: *work, rows: Vec::new(), raced: None, ratio: None, error: None };
    race.error = measure(engines, work, settings, &mut race).err().map(|error| one_line(&error.to_string()));
    race
}

fn measure(engines: &Engines, work: &Work, settings: &Settings, race: &mut Race) -> Result<()> {
    let Engines { gpu, burn } = engines;
    // The inputs are dropped before the race.
    let (expected, ours, theirs) = match work {
        Work::Attention(problem) => {
            let (s, pass) = (Sizes::of(problem), problem.pass);
            let inputs = AttentionInputs::new(&s, settings.seed);
            let expected = check::of_attention(problem, &inputs);
            let ours = ours::attention_forms(gpu, &s, pass, &inputs);
            (expected, ours, burn::attention_forms(burn, &s, pass, &inputs))
        }
        Work::Layer(layer, product) => {
            let inputs = LayerInputs::new(layer, settings.seed);
            let expected = check::of_layer(layer, *product, &inputs);
            let ours = vec![ours::layer_form(gpu, layer, *product, &inputs)];
            (expected, ours, burn::layer_forms(burn, layer, *product, &inputs))
        }
    };
    let trial = Trial { engine: Engine::Ketformer, expected: &expected, others: None, warmup: settings.warmup };
    let ours = trial.fastest(work, ours, &mut race.rows);
    let mut ours = ours.ok_or_else(|| race.no_variant(Engine::Ketformer))?;
    let trial = Trial { engine: Engine::Burn, others: Some(&ours.made), ..trial };
    let theirs = trial.fastest(work, theirs, &mut race.rows);
    let mut theirs = theirs.ok_or_else(|| race.no_variant(Engine::Burn))?;

    let calls = [ours.ms, theirs.ms].map(|ms| settings.calls.unwrap_or_else(|| clock::calls(ms)));
    let pairs = clock::pairs(ours.form.as_mut(), theirs.form.as_mut(), calls, settings.rounds)?;
    let ratios: Vec<f64> = pairs.ours.iter().zip(&pairs.theirs).map(|(ours, theirs)| theirs / ours).collect();
    let [q1, median, q3] = clock::quartiles(&ratios);
    race.ratio = Some(Ratio { median, q1, q3 });
    race.raced = Some([ours.row, theirs.row]);
    for (candidate, runs_ms, calls) in [(&mut ours, pairs.ours, calls[0]), (&mut theirs, pairs.theirs, calls[1])] {
        let deterministic = repeats(candidate, settings.repeats)?;
        let row = &mut race.rows[candidate.row];
        (row.times, row.calls, row.deterministic) = (runs_ms, calls, Some(deterministic));
    }
    Ok(())
}

/// Whether repeated runs with the same inputs have the same bits in all outputs.
fn repeats(candidate: &mut Candidate, runs: usize) -> Result<bool> {
    candidate.form.run(1)?;
    let first = candidate.form.read()?;
    for _ in 1..runs {
        candidate.form.run(1)?;
        if !check::same_bits(&first, &candidate.form.read()?) {
            return Ok(false);
        }
    }
    Ok(true)
}
