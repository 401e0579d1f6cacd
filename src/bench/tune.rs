//! Tuning: variant races at the shapes of typical networks find the fastest kernel variants of an adapter.
//!
//! Recording a plan logs its variant selections (`Gpu::with_selection_log`), so the tuning needs no list of kernels.
//! The default of a kernel must pass the correctness check; another variant takes part only if it has the same bits on
//! this adapter.

use std::time::{Duration, Instant};

use super::attention::Kind;
use super::report::{aligned, cell};
use super::session::{Bench, RowKey};
use super::variant_race::{VariantRace, Verdict};
use super::{BenchConfig, BenchShape, attention, matmul, norm};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, TunedVariant, Tuning};
use crate::kernels::attention::AttentionShape;
use crate::kernels::linear::LinearShape;

/// Limits of a tuning.
#[derive(Debug, Clone)]
pub struct TuneConfig {
    /// Whether only the most common networks and large batches are measured, with fewer rounds.
    pub quick: bool,
    /// Time limit in seconds, after which no further race begins.
    pub seconds: f64,
    /// Seed of the inputs.
    pub seed: u64,
}

impl TuneConfig {
    /// Default limits.
    pub fn new(quick: bool) -> Self {
        Self { quick, seconds: if quick { 25.0 } else { 110.0 }, seed: 0 }
    }

    /// Checks the settings; needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the time limit is not positive or not below 10⁶ seconds.
    pub fn check(&self) -> Result<()> {
        if self.seconds > 0.0 && self.seconds < 1e6 {
            return Ok(());
        }
        let message = format!("tune: seconds must be above 0 and below 10⁶, got {}; give --seconds 60", self.seconds);
        Err(Error::new(ErrorKind::Settings, message))
    }
}

/// Results of a tuning.
#[derive(Debug, Clone)]
pub struct TuneReport {
    /// One verdict per kernel and class of shapes, in the order of measurement.
    pub verdicts: Vec<Verdict>,
    /// Whether the time limit ended the tuning early; undecided classes keep their defaults.
    pub unfinished: bool,
}

/// Sizes of a typical network.
struct Typical {
    patches: u32,
    width: u32,
    heads: u32,
    hidden: u32,
}

const fn typical([patches, width, heads, hidden]: [u32; 4]) -> Typical {
    Typical { patches, width, heads, hidden }
}

/// Typical networks, most common first. Each adds classes of shapes that the previous ones do not have. A hidden layer
/// of 1024 represents its whole class, including the usual 2048, and takes less time.
const NETWORKS: [Typical; 5] = [
    typical([4, 32, 8, 1024]),
    typical([16, 128, 8, 1024]),
    typical([16, 64, 8, 128]),
    typical([36, 128, 8, 512]),
    typical([64, 32, 8, 128]),
];
/// Number of networks in a quick run.
const QUICK: usize = 2;
/// Number of outcomes of a 2x2 patch.
const OUTCOMES: u32 = 16;

/// Runs variant races on `gpu` until all are decided or the time limit is reached. `progress` receives the name of each
/// measurement.
///
/// # Errors
/// Those of [`TuneConfig::check`] and of the device.
pub fn tune(gpu: &Gpu, config: &TuneConfig, progress: &mut dyn FnMut(&str)) -> Result<TuneReport> {
    config.check()?;
    let software = gpu.is_software();
    let race = VariantRace {
        budget_ms: match (software, config.quick) {
            (true, false) => 400.0,
            (true, true) => 150.0,
            (false, false) => 60.0,
            (false, true) => 25.0,
        },
        deadline: Instant::now() + Duration::from_secs_f64(config.seconds),
        verdicts: Vec::new(),
        unfinished: false,
    };
    let bench = BenchConfig { seed: config.seed, ..BenchConfig::default() };
    let mut session = Bench::races(gpu, &bench, race, progress);
    let [many, few] = if software { [2304, 256] } else { [16384, 1024] };
    let networks = &NETWORKS[..if config.quick { QUICK } else { NETWORKS.len() }];
    for network in networks {
        products(&mut session, network, many)?;
        attentions(&mut session, network, many)?;
    }
    if !config.quick {
        networks.iter().try_for_each(|network| products(&mut session, network, few))?;
    }
    let VariantRace { verdicts, unfinished, .. } = session.end_races()?;
    Ok(TuneReport { verdicts, unfinished })
}

/// Measures all kernels of the layers of a network except attention, for a batch of `rows`.
fn products(session: &mut Bench<'_>, network: &Typical, rows: u32) -> Result<()> {
    let (c, f) = (network.width, network.hidden);
    for [inputs, outputs] in [[c, 3 * c], [c, c], [c, f], [f, c], [c, OUTCOMES]] {
        if session.is_over() {
            return Ok(());
        }
        let shape = BenchShape(vec![rows, inputs, outputs]);
        let title = RowKey::new("linear_product", "forward", &shape);
        matmul::product(session, title, &LinearShape::forward(rows, inputs, outputs))?;
        let title = RowKey::new("linear_product", "input gradient", &shape);
        matmul::product(session, title, &LinearShape::backward(rows, outputs, inputs))?;
        matmul::weight_gradient(session, &shape)?;
    }
    matmul::feed_forward(session, &BenchShape(vec![rows, c, f]))?;
    norm::run(session, &BenchShape(vec![rows, c]))
}

/// Measures the attention of a network, with as many samples as fit into `rows` rows.
fn attentions(session: &mut Bench<'_>, network: &Typical, rows: u32) -> Result<()> {
    if session.is_over() {
        return Ok(());
    }
    let Typical { patches: t, width, heads: h, .. } = *network;
    let (b, d) = (rows / t, width / h);
    let shape = BenchShape(vec![b, h, t, d]);
    let causal = AttentionShape::causal(b, t, h, d);
    attention::forward(session, RowKey::new("attention_forward", "causal", &shape), Kind::Softmax, &causal)?;
    let decode = AttentionShape::decode(b, t, h, d, t - 1);
    attention::forward(session, RowKey::new("attention_forward", "decode", &shape), Kind::Softmax, &decode)?;
    attention::suffix(session, Kind::Softmax, &BenchShape(vec![b / 4, h, t, d]))?;
    attention::backward(session, RowKey::new("attention_forward_backward", "causal", &shape), Kind::Softmax, &causal)
}

impl TuneReport {
    /// Variants that are clearly faster than the defaults.
    pub fn tuning(&self) -> Tuning {
        let mut tuning = Tuning::default();
        for verdict in self.verdicts.iter().filter(|verdict| verdict.best != verdict.default) {
            let (variant, instead_of) = (verdict.best.into(), verdict.default.into());
            tuning.set(verdict.kernel, &verdict.class, TunedVariant { variant, instead_of, gain: verdict.gain });
        }
        tuning
    }

    /// Whether a kernel gave wrong results.
    pub fn has_errors(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.failed)
    }

    /// Formats the verdicts as a table: one row per kernel and class of shapes.
    pub fn table(&self) -> String {
        let header = ["kernel", "shapes", "default", "best", "gain", "ms", "variants that gave the same bits, in ms"];
        let mut rows = vec![header.map(String::from)];
        rows.extend(self.verdicts.iter().map(|verdict| {
            let of = |variant: &str| verdict.times.iter().find(|(name, _)| *name == variant).map(|(_, ms)| *ms);
            let mut all: Vec<String> = verdict.times.iter().map(|(variant, ms)| format!("{variant} {ms:.3}")).collect();
            all.extend(verdict.remark.clone());
            [
                verdict.kernel.into(),
                verdict.class.clone(),
                verdict.default.into(),
                verdict.best.into(),
                if verdict.failed { "-".into() } else { format!("{:.2}", verdict.gain) },
                cell(of(verdict.best), 3),
                all.join(", "),
            ]
        }));
        let mut text = aligned(&rows, 4);
        if self.unfinished {
            text += "\ntime was up: the remaining classes keep their defaults; increase --seconds";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(best: &'static str, gain: f64) -> Verdict {
        Verdict {
            kernel: "linear_product",
            class: "forward 64 x 64, many rows".into(),
            default: "subgroup2",
            best,
            gain,
            times: vec![("subgroup2", 2.0), ("subgroup4", 1.0)],
            remark: None,
            failed: false,
        }
    }

    #[test]
    fn only_what_beats_the_default_is_preferred() {
        let report = |best, gain| TuneReport { verdicts: vec![verdict(best, gain)], unfinished: false };
        assert!(report("subgroup2", 1.0).tuning().is_empty());
        let tuning = report("subgroup4", 2.0).tuning();
        let preferred = tuning.get("linear_product", "forward 64 x 64, many rows").unwrap();
        assert_eq!((preferred.variant.as_str(), preferred.instead_of.as_str()), ("subgroup4", "subgroup2"));
    }

    #[test]
    fn the_table_shows_what_was_left_out_and_what_failed() {
        let failed =
            Verdict { failed: true, times: Vec::new(), remark: Some("wrong: y".into()), ..verdict("subgroup2", 1.0) };
        let report = TuneReport { verdicts: vec![verdict("subgroup4", 2.0), failed], unfinished: true };
        let table = report.table();
        assert!(report.has_errors() && table.contains("wrong: y") && table.contains("time was up"), "{table}");
        assert!(table.lines().nth(1).unwrap().contains("2.00"), "{table}");
    }

    #[test]
    fn a_contest_within_no_time_decides_nothing() {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        let config = TuneConfig { seconds: 1e-9, ..TuneConfig::new(true) };
        let report = tune(&gpu, &config, &mut |_| ()).unwrap();
        assert!(report.verdicts.is_empty() && report.unfinished);
        assert_eq!(
            tune(&gpu, &TuneConfig { seconds: 0.0, ..config }, &mut |_| ()).unwrap_err().kind(),
            ErrorKind::Settings
        );
    }
}
