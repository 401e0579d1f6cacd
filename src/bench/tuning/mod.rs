//! Tuning: variant races at the shapes of typical networks find the fastest kernel variants of an adapter.
//!
//! Recording a plan logs its variant selections (`Gpu::with_selection_log`), so the tuning needs no list of kernels.
//! The default of a kernel must pass the correctness check; another variant is measured only if it has the same bits on
//! this adapter.

pub(super) mod race;

use std::time::{Duration, Instant};

use super::config::BenchConfig;
use super::key::RowKey;
use super::session::Bench;
use super::shape::BenchShape;
use super::subjects::{attention, matmul, norm};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, TunedVariant, Tuning};
use crate::kernels::attention::AttentionShape;
use crate::kernels::linear::LinearShape;
use crate::model::Attention;
use race::{VariantRace, Verdict};

/// Limits of a tuning.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TuneConfig {
    /// Whether only the most common networks and large batches are measured, with fewer rounds.
    pub quick: bool,
    /// Time limit in seconds, after which no further race begins.
    pub seconds: f64,
}

impl TuneConfig {
    /// Default limits.
    pub fn new(quick: bool) -> Self {
        Self { quick, seconds: if quick { 25.0 } else { 110.0 } }
    }

    /// Checks the settings; needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the time limit is not positive or not below 10⁶ seconds.
    pub fn check(&self) -> Result<()> {
        if self.seconds > 0.0 && self.seconds < 1e6 {
            return Ok(());
        }
        let message =
            format!("tune: seconds must be above 0 and below 10⁶, got {}; give TuneConfig::seconds=60", self.seconds);
        Err(Error::new(ErrorKind::Settings, message))
    }
}

/// Results of a tuning.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TuneReport {
    /// One verdict per kernel and class of shapes, in the order of measurement.
    pub verdicts: Vec<Verdict>,
    /// Whether the time limit ended the tuning early; undecided classes keep their defaults.
    pub unfinished: bool,
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
}

/// Sizes of a typical network.
struct Network {
    patches: u32,
    width: u32,
    heads: u32,
    hidden: u32,
}

/// Typical networks, most common first. Each adds classes of shapes that the previous ones do not have. A hidden layer
/// of 1024 represents its whole class, including the usual 2048, and takes less time.
const NETWORKS: [Network; 5] = [
    Network { patches: 4, width: 32, heads: 8, hidden: 1024 },
    Network { patches: 16, width: 128, heads: 8, hidden: 1024 },
    Network { patches: 16, width: 64, heads: 8, hidden: 128 },
    Network { patches: 36, width: 128, heads: 8, hidden: 512 },
    Network { patches: 64, width: 32, heads: 8, hidden: 128 },
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
    let budget_ms = match (gpu.is_software(), config.quick) {
        (true, false) => 400.0,
        (true, true) => 150.0,
        (false, false) => 60.0,
        (false, true) => 25.0,
    };
    let [many, few] = if gpu.is_software() { [2304, 256] } else { [16384, 1024] };
    let deadline = Instant::now() + Duration::from_secs_f64(config.seconds);
    let mut race = VariantRace { budget_ms, deadline, verdicts: Vec::new(), unfinished: false };
    let mut session = Bench::without_limits(gpu, &BenchConfig::default(), progress);
    session.race = Some(&mut race);
    let networks = &NETWORKS[..if config.quick { QUICK } else { NETWORKS.len() }];
    let batches = if config.quick { vec![many] } else { vec![many, few] };
    for (rows, network) in batches.into_iter().flat_map(|rows| networks.iter().map(move |network| (rows, network))) {
        if session.is_over() {
            break;
        }
        products(&mut session, network, rows)?;
        if rows == many {
            attentions(&mut session, network, rows)?;
        }
    }
    Ok(TuneReport { verdicts: race.verdicts, unfinished: race.unfinished })
}

/// Measures all kernels of the layers of a network except attention, for a batch of `rows`.
fn products(session: &mut Bench<'_>, network: &Network, rows: u32) -> Result<()> {
    let (c, f) = (network.width, network.hidden);
    for [inputs, outputs] in [[c, 3 * c], [c, c], [c, f], [f, c], [c, OUTCOMES]] {
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
fn attentions(session: &mut Bench<'_>, network: &Network, rows: u32) -> Result<()> {
    let Network { patches: t, width, heads: h, .. } = *network;
    let (b, d) = (rows / t, width / h);
    let shape = BenchShape(vec![b, h, t, d]);
    let causal = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    let softmax = Attention::Softmax;
    attention::forward(session, RowKey::new("attention_forward", "causal", &shape), softmax, &causal)?;
    let decode = AttentionShape { query_positions: Some(t - 1..t), ..causal.clone() };
    attention::forward(session, RowKey::new("attention_forward", "decode", &shape), softmax, &decode)?;
    attention::suffix(session, softmax, &BenchShape(vec![b / 4, h, t, d]))?;
    attention::backward(session, RowKey::new("attention_forward_backward", "causal", &shape), softmax, &causal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_beats_the_default_is_preferred() {
        let report = |best, gain| {
            let class = "forward 64 x 64, many rows".into();
            let (kernel, default, times) = ("linear_product", "subgroup2", Vec::new());
            let verdict = Verdict { kernel, class, default, best, gain, times, remark: None, failed: false };
            TuneReport { verdicts: vec![verdict], unfinished: false }
        };
        assert!(report("subgroup2", 1.0).tuning().is_empty());
        let tuning = report("subgroup4", 2.0).tuning();
        let preferred = tuning.get("linear_product", "forward 64 x 64, many rows").unwrap();
        assert_eq!((preferred.variant.as_str(), preferred.instead_of.as_str()), ("subgroup4", "subgroup2"));
    }

    #[test]
    fn a_tuning_within_no_time_decides_nothing() {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        let config = |seconds| TuneConfig { seconds, ..TuneConfig::new(true) };
        let report = tune(&gpu, &config(1e-9), &mut |_| ()).unwrap();
        assert!(report.verdicts.is_empty() && report.unfinished);
        assert_eq!(tune(&gpu, &config(0.0), &mut |_| ()).unwrap_err().kind(), ErrorKind::Settings);
    }
}
