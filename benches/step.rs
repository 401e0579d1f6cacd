//! Time of a training step, whole and by parts: `cargo bench --bench step -- [L=16] [Nh=32] [K=256] [runs=5]`.
//!
//! With `rnn` or `lptf` the step of another family, by default at L=64 Nh=128 or at L=256 K=64 Nh=128. With `sr` a step
//! of stochastic reconfiguration, with 3·10⁵ parameters and 2000 samples within 2 GiB.
//!
//! The whole step is timed as in training. The launches of the parts are timed one by one, so the parts add up to
//! somewhat more. The first step trains from random weights, where nearly all samples differ: the worst case.
//! `ketformer bench step` does the same and writes files.

use std::collections::BTreeMap;

use ketformer::bench::{self, BenchConfig, BenchRow, BenchShape, Subject};
use ketformer::gpu::Gpu;

fn main() -> ketformer::Result<()> {
    // `cargo bench` passes --bench; KEY=VALUE arguments belong to this program.
    let given: BTreeMap<String, u32> = std::env::args()
        .filter_map(|argument| argument.split_once('=').map(|(k, v)| (k.to_string(), v.parse().unwrap_or(0))))
        .collect();
    let setting = |key: &str, default: u32| given.get(key).copied().unwrap_or(default);
    let typed = |word: &str| std::env::args().any(|argument| argument == word);
    let subject = match [typed("rnn"), typed("lptf"), typed("sr")] {
        [true, ..] => Subject::StepRnn,
        [_, true, _] => Subject::StepLptf,
        [.., true] => Subject::StepSr,
        _ => Subject::Step,
    };
    let [sites, samples, width] = subject.shapes()[0].0[..] else { unreachable!("a step has three sizes") };
    let shape = BenchShape(vec![setting("L", sites), setting("K", samples), setting("Nh", width)]);
    let mut config = BenchConfig::new(vec![subject]);
    config.shapes = vec![shape];
    (config.runs, config.warmup) = (setting("runs", 5), 1);
    let report = bench::run(&Gpu::new()?, &config, &mut |title| eprintln!("{title}"))?;
    println!("{}\n{}", report.limits, report.table());

    // The rows of the parts are those that are neither the whole step nor the host time.
    let is_part =
        |row: &&BenchRow| row.kernel == subject.name() && row.variant != "whole" && row.variant != "host replay";
    let parts: Vec<(&str, f64)> =
        report.rows.iter().filter(is_part).filter_map(|row| Some((row.variant.as_str(), row.median_ms?))).collect();
    let total: f64 = parts.iter().map(|(_, ms)| ms).sum();
    println!("\npart              ms     share");
    for (part, ms) in &parts {
        println!("{part:<10} {ms:>9.2} {:>8.1}%", 100.0 * ms / total);
    }
    Ok(())
}
