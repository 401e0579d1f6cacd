//! Predicted time of a training step on a GPU that need not exist.
//!
//! The step is recorded on a device handle with the figures of the GPU ([`Gpu::planning`]), so that kernels, tiles and
//! grids are those of that GPU. A launch takes
//!
//! ```text
//! time      = launch + max(busy, memory)             memory = bytes / bandwidth
//! busy      = FLOPs / peak · max(1 / issue, workgroup_memory) / filled
//! filled    = min(1, depth / (1 + latency))          depth = invocations / (compute units · lanes), at most occupancy
//! ```
//!
//! with, of the hot loop of the kernel, `issue` the share of multiply-adds in the issued vector instructions,
//! `workgroup_memory` the cycles of workgroup memory per cycle of multiply-adds, and `latency` the cycles in which a
//! subgroup waits per cycle in which it issues. They are properties of the compiled kernel ([`CompilerStatistics`]);
//! without statistics they are 0.6, 0 and 3, with an occupancy of 8.
//!
//! The formula leaves out caches, clocks, the order of memory accesses and the overlap of launches. It is good for
//! finding what a step loses, and to perhaps a factor of 1.5 for its time. Rows count up to their capacity.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::report::aligned;
use super::shape::BenchShape;
use super::subject::Subject;
use super::subjects::gpt;
use super::subjects::step::{self, StepTrainer};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, GpuFigures, PlannedLaunch};

/// Microseconds of a launch and the barrier before it.
const LAUNCH_US: f64 = 4.0;

/// Properties of a compiled kernel, as a GPU's compiler reports them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompilerStatistics {
    /// Name of the kernel.
    pub kernel: String,
    /// Replaced spec constants.
    #[serde(default)]
    pub spec: BTreeMap<String, u32>,
    /// Share of multiply-adds in the cycles of vector instructions of the hot loop.
    pub issue: f64,
    /// Cycles of workgroup memory per cycle of multiply-adds.
    pub workgroup_memory: f64,
    /// Cycles that a subgroup waits for memory per cycle of its instructions.
    pub latency: f64,
    /// Maximum number of invocations per lane that registers and workgroup memory allow.
    pub occupancy: f64,
}

impl CompilerStatistics {
    /// Reads a JSON array of statistics; `name` is the file in error messages.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the text is not such an array.
    pub fn parse(name: &str, text: &str) -> Result<Vec<Self>> {
        serde_json::from_str(text).map_err(|e| {
            let message =
                format!("{name}: expected a JSON array of kernel, spec, issue, workgroup_memory, latency, occupancy");
            Error::new(ErrorKind::File, message).caused_by(e)
        })
    }

    /// Assumptions for a kernel without statistics.
    fn assumed() -> Self {
        let (kernel, spec) = (String::new(), BTreeMap::new());
        Self { kernel, spec, issue: 0.6, workgroup_memory: 0.0, latency: 3.0, occupancy: 8.0 }
    }

    fn is_of(&self, launch: &PlannedLaunch<'_>) -> bool {
        let same = |(name, value): &(String, u32)| self.spec.get(name) == Some(value);
        self.kernel == launch.kernel && self.spec.len() == launch.spec.len() && launch.spec.iter().all(same)
    }
}

/// What limits the speed of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Vector instructions.
    Issue,
    /// Reads of workgroup memory.
    WorkgroupMemory,
    /// Memory bandwidth.
    Memory,
    /// Waiting for memory, with too few subgroups per unit to hide it.
    Latency,
    /// Fewer workgroups than compute units.
    IdleUnits,
    /// The launch itself.
    Launch,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issue => "issue",
            Self::WorkgroupMemory => "workgroup memory",
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::IdleUnits => "idle units",
            Self::Launch => "launch",
        })
    }
}

/// Equal launches of one part of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PredictedRow {
    /// Part of the step.
    pub part: String,
    /// Name of the kernel.
    pub kernel: String,
    /// Replaced spec constants.
    pub spec: BTreeMap<String, u32>,
    /// Shape.
    pub shape: String,
    /// Number of launches.
    pub launches: u32,
    /// Workgroups of one launch.
    pub workgroups: u64,
    /// Invocations per workgroup.
    pub invocations: u32,
    /// Floating-point operations of one launch.
    pub flops: f64,
    /// Bytes read and written by one launch.
    pub bytes: f64,
    /// Predicted microseconds of all launches.
    pub microseconds: f64,
    /// What limits a launch.
    pub bound: Bound,
    /// Whether the prediction includes compiler statistics of the kernel.
    pub has_statistics: bool,
}

impl PredictedRow {
    /// Whether the launches of the other row are the same.
    fn is_same(&self, other: &Self) -> bool {
        self.part == other.part
            && self.kernel == other.kernel
            && self.spec == other.spec
            && self.shape == other.shape
            && self.workgroups == other.workgroups
    }
}

/// Predicted time of a step. Nothing in it was measured on the GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prediction {
    /// Name of the GPU.
    pub gpu: String,
    /// The step: its subject and shape.
    pub step: String,
    /// Peak arithmetic in GFLOP/s.
    pub peak_gflops: f64,
    /// Memory bandwidth in GB/s.
    pub memory_gbs: f64,
    /// Rows, slowest first.
    pub rows: Vec<PredictedRow>,
}

/// Predicted microseconds of one launch, and what limits it.
fn predicted(figures: &GpuFigures, launch: &PlannedLaunch<'_>, statistics: &CompilerStatistics) -> (f64, Bound) {
    let lanes = f64::from(figures.compute_units) * f64::from(figures.lanes);
    let depth = (launch.workgroups as f64 * f64::from(launch.invocations) / lanes).min(statistics.occupancy);
    let filled = (depth / (1.0 + statistics.latency)).min(1.0);
    let least = launch.cost.flops / (1e3 * figures.peak_gflops());
    let [issue, shared] = [least / statistics.issue, least * statistics.workgroup_memory];
    let busy = issue.max(shared) / filled.max(f64::MIN_POSITIVE);
    let memory = launch.cost.bytes / (1e3 * figures.memory_gbs);
    let bound = if busy.max(memory) < LAUNCH_US {
        Bound::Launch
    } else if memory > busy {
        Bound::Memory
    } else if filled < 1.0 && launch.workgroups < u64::from(figures.compute_units) {
        Bound::IdleUnits
    } else if filled < 1.0 {
        Bound::Latency
    } else if shared > issue {
        Bound::WorkgroupMemory
    } else {
        Bound::Issue
    };
    (LAUNCH_US + busy.max(memory), bound)
}

/// Predicts the time of the step of `subject` at `shape` on the GPU of `figures`.
///
/// # Errors
/// [`ErrorKind::Settings`] for a subject that is not a step of Adam, and for shapes that the model does not support;
/// [`ErrorKind::Memory`] for a step that does not fit into the default budget.
pub fn predict(
    figures: &GpuFigures,
    subject: Subject,
    shape: &BenchShape,
    statistics: &[CompilerStatistics],
) -> Result<Prediction> {
    if !matches!(subject, Subject::Step | Subject::StepRnn | Subject::StepLptf | Subject::StepGpt) {
        let message = format!("bench: {subject} cannot be predicted; give step, step-rnn, step-lptf or step-gpt");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    subject.check(shape)?;
    let gpu = Gpu::planning(figures)?;
    let trainer: Box<dyn StepTrainer> = match subject {
        Subject::StepGpt => Box::new(gpt::planned(&gpu, shape)?),
        _ => Box::new(step::planned(&gpu, subject, shape)?),
    };
    let mut rows: Vec<PredictedRow> = Vec::new();
    for launch in trainer.plan().launches() {
        let known = statistics.iter().find(|statistics| statistics.is_of(&launch));
        let assumed = CompilerStatistics::assumed();
        let (microseconds, bound) = predicted(figures, &launch, known.unwrap_or(&assumed));
        let row = PredictedRow {
            part: launch.scope.into(),
            kernel: launch.kernel.into(),
            spec: launch.spec.iter().cloned().collect(),
            shape: launch.shape.into(),
            launches: launch.times,
            workgroups: launch.workgroups,
            invocations: launch.invocations,
            flops: launch.cost.flops,
            bytes: launch.cost.bytes,
            microseconds: f64::from(launch.times) * microseconds,
            bound,
            has_statistics: known.is_some(),
        };
        match rows.iter_mut().find(|other| other.is_same(&row)) {
            Some(same) => {
                same.launches += row.launches;
                same.microseconds += row.microseconds;
            }
            None => rows.push(row),
        }
    }
    rows.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    let (peak_gflops, memory_gbs) = (figures.peak_gflops(), figures.memory_gbs);
    Ok(Prediction { gpu: figures.name.into(), step: format!("{subject} {shape}"), peak_gflops, memory_gbs, rows })
}

impl Prediction {
    /// Predicted milliseconds of a step.
    pub fn milliseconds(&self) -> f64 {
        self.rows.iter().map(|row| row.microseconds).sum::<f64>() / 1e3
    }

    /// Number of launches of a step.
    pub fn launches(&self) -> u32 {
        self.rows.iter().map(|row| row.launches).sum()
    }

    fn flops(&self) -> f64 {
        self.rows.iter().map(|row| f64::from(row.launches) * row.flops).sum()
    }

    /// Predicted milliseconds by what limits the launches, largest first.
    pub fn by_bound(&self) -> Vec<(Bound, f64)> {
        let mut sums: BTreeMap<Bound, f64> = BTreeMap::new();
        self.rows.iter().for_each(|row| *sums.entry(row.bound).or_default() += row.microseconds / 1e3);
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        sums
    }

    /// Predicted milliseconds by part of the step, in order of first use in the table.
    fn by_part(&self) -> Vec<(&str, f64)> {
        let mut sums: Vec<(&str, f64)> = Vec::new();
        for row in &self.rows {
            match sums.iter_mut().find(|(part, _)| *part == row.part) {
                Some((_, sum)) => *sum += row.microseconds / 1e3,
                None => sums.push((&row.part, row.microseconds / 1e3)),
            }
        }
        sums
    }

    /// The slowest `most` rows as a table, and sums by part and by bound.
    pub fn table(&self, most: usize) -> String {
        let header = ["part", "kernel", "shape", "launches", "workgroups", "us", "% of step", "bound by", "constants"];
        let mut rows = vec![header.map(String::from)];
        let all = self.milliseconds();
        rows.extend(self.rows.iter().take(most).map(|row| {
            let spec: Vec<String> = row.spec.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let unknown = if row.has_statistics { "" } else { " (assumed)" };
            [
                row.part.clone(),
                row.kernel.clone(),
                row.shape.clone(),
                row.launches.to_string(),
                format!("{} x {}", row.workgroups, row.invocations),
                format!("{:.1}", row.microseconds),
                format!("{:.1}", row.microseconds / 10.0 / all),
                format!("{}{unknown}", row.bound),
                spec.join(" "),
            ]
        }));
        let sums = |sums: Vec<String>| sums.join(" · ");
        let parts = sums(self.by_part().iter().map(|(part, ms)| format!("{part} {ms:.2}")).collect());
        let bounds = sums(self.by_bound().iter().map(|(bound, ms)| format!("{bound} {ms:.2}")).collect());
        let rest = self.rows.len().saturating_sub(most);
        let rest = if rest > 0 { format!("\n… {rest} rows more, in the file of --json") } else { String::new() };
        format!(
            "PREDICTION, not a measurement: {} on {} ({:.0} GFLOP/s, {:.0} GB/s)\n\n{}{rest}\n\n{:.2} ms in {} launches, {:.0} % \
             of peak arithmetic\nms by part: {parts}\nms by bound: {bounds}",
            self.step,
            self.gpu,
            self.peak_gflops,
            self.memory_gbs,
            aligned(&rows, 3),
            all,
            self.launches(),
            100.0 * self.flops() / (1e6 * self.peak_gflops * all),
        )
    }

    /// All rows as JSON, marked as a prediction.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if a number has no JSON form.
    pub fn json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Marked<'a> {
            kind: &'static str,
            milliseconds: f64,
            launches: u32,
            #[serde(flatten)]
            prediction: &'a Prediction,
        }
        let marked = Marked {
            kind: "prediction, not a measurement",
            milliseconds: self.milliseconds(),
            launches: self.launches(),
            prediction: self,
        };
        serde_json::to_string_pretty(&marked)
            .map_err(|e| Error::new(ErrorKind::File, "the prediction has no JSON form").caused_by(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Cost;

    const RX6800: &GpuFigures = &GpuFigures::ALL[0];

    fn launch(workgroups: u64, flops: f64, bytes: f64) -> PlannedLaunch<'static> {
        let cost = Cost { flops, bytes };
        PlannedLaunch::of_test(workgroups, cost)
    }

    #[test]
    fn a_launch_is_bound_by_what_takes_longest() {
        let with = |issue, workgroup_memory, latency| CompilerStatistics {
            issue,
            workgroup_memory,
            latency,
            ..CompilerStatistics::assumed()
        };
        let second = 1e9 * RX6800.peak_gflops();
        let cases = [
            (launch(1000, 1e-3 * second, 1.0), with(0.5, 1.0, 0.0), 2004.0, Bound::Issue),
            (launch(1000, 1e-3 * second, 1.0), with(0.5, 3.0, 0.0), 3004.0, Bound::WorkgroupMemory),
            (launch(1000, 1e-3 * second, 512e9 * 1e-2), with(0.5, 3.0, 0.0), 10_004.0, Bound::Memory),
            // 60 workgroups of 256 are four invocations per lane, and eight are needed.
            (launch(60, 1e-3 * second, 1.0), with(0.5, 1.0, 7.0), 4004.0, Bound::Latency),
            (launch(15, 1e-3 * second, 1.0), with(0.5, 1.0, 3.0), 8004.0, Bound::IdleUnits),
            (launch(1000, 1e-6 * second, 1.0), with(0.5, 1.0, 3.0), 6.0, Bound::Launch),
        ];
        for (launch, statistics, us, bound) in cases {
            let found = predicted(RX6800, &launch, &statistics);
            assert!((found.0 / us - 1.0).abs() < 1e-9 && found.1 == bound, "{found:?}, expected {us} {bound:?}");
        }
    }

    #[test]
    fn statistics_are_matched_by_kernel_and_all_constants() {
        let text =
            r#"[{"kernel": "k", "spec": {"A": 1}, "issue": 1, "workgroup_memory": 0, "latency": 0, "occupancy": 8}]"#;
        let statistics = &CompilerStatistics::parse("file", text).unwrap()[0];
        let spec = |pairs: &[(&str, u32)]| -> Vec<(String, u32)> {
            pairs.iter().map(|(name, value)| (name.to_string(), *value)).collect()
        };
        for (kernel, spec, expected) in [
            ("k", spec(&[("A", 1)]), true),
            ("k", spec(&[("A", 2)]), false),
            ("k", spec(&[("A", 1), ("B", 1)]), false),
            ("l", spec(&[("A", 1)]), false),
        ] {
            let launch = PlannedLaunch { kernel, spec: &spec, ..launch(1, 1.0, 1.0) };
            assert_eq!(statistics.is_of(&launch), expected);
        }
        assert!(CompilerStatistics::parse("file", "{}").unwrap_err().to_string().starts_with("file: expected"));
    }

    #[test]
    fn every_listed_gpu_has_a_prediction_of_every_step() {
        for figures in GpuFigures::ALL {
            let step = vec![16, 64, 32];
            for (subject, sizes) in [
                (Subject::Step, step.clone()),
                (Subject::StepRnn, step.clone()),
                (Subject::StepLptf, step),
                (Subject::StepGpt, vec![12, 64, 4, 4, 128, 65]),
            ] {
                let shape = BenchShape(sizes);
                let prediction = predict(figures, subject, &shape, &[]).unwrap();
                let least = f64::from(prediction.launches()) * LAUNCH_US / 1e3;
                assert!(prediction.milliseconds() > least, "{} {subject}", figures.key);
                assert!(prediction.table(3).starts_with("PREDICTION, not a measurement"));
            }
        }
        let refused = predict(RX6800, Subject::Matmul, &BenchShape(vec![1, 1, 1]), &[]).unwrap_err();
        assert!(refused.to_string().contains("step-rnn"), "{refused}");
    }
}
