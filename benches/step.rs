//! What a training step costs, whole and part by part: `cargo bench --bench step -- [L=16] [Nh=32] [K=256] [runs=5]`.
//!
//! The whole step is timed as training runs it; the parts are launches timed one by one, so that they add up to
//! somewhat more. The first step trains from random weights, where nearly all samples differ: the dearest case.

use std::collections::BTreeMap;
use std::time::Instant;

use ketformer::gpu::{Gpu, Profile, ProfileRow};
use ketformer::model::Ptf;
use ketformer::physics::{Lattice, Rydberg};
use ketformer::vmc::{TrainConfig, Trainer};

fn main() -> ketformer::Result<()> {
    // `cargo bench` passes --bench; KEY=VALUE arguments are ours.
    let given: BTreeMap<String, u64> = std::env::args()
        .filter_map(|argument| argument.split_once('=').map(|(k, v)| (k.to_string(), v.parse().unwrap_or(0))))
        .collect();
    let setting = |key: &str, default: u64| given.get(key).copied().unwrap_or(default);
    let lattice = Lattice::from_sites(setting("L", 16) as usize)?;
    let model = Ptf { width: setting("Nh", 32) as usize, ..Ptf::default() };
    let config = TrainConfig { samples: setting("K", 256) as usize, ..TrainConfig::default() };
    let runs = setting("runs", 5);

    let gpu = Gpu::new()?;
    let info = gpu.info();
    println!("{} ({}, {})", info.name, info.driver, info.driver_info);
    let samples = config.samples;
    let mut trainer = Trainer::new(&gpu, &lattice, &Rydberg::default(), &model, config)?;
    let [group, moves, gradient] = trainer.chunks();
    println!(
        "PTF 2x2 L={} K={samples} Nh={}: {} launches, {:.1} MiB; samples drawn together {group}, moved together {moves}, \
         with gradient {gradient}",
        lattice.sites(),
        model.width,
        trainer.plan().len(),
        trainer.memory() as f64 / f64::from(1 << 20)
    );

    let start = Instant::now();
    trainer.steps(1).try_for_each(|report| report.map(|_| ()))?;
    println!("first step, with compilation: {:.2} s", start.elapsed().as_secs_f64());
    let mut seconds: Vec<f64> =
        trainer.steps(runs).map(|report| report.map(|r| r.seconds)).collect::<ketformer::Result<_>>()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!("step: {median:.4} s (from {:.4} to {:.4}, {runs} steps)", seconds[0], seconds[seconds.len() - 1]);

    let start = Instant::now();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    trainer.plan().encode_pass(&mut encoder);
    let encoded = encoder.finish();
    println!("host: {:.3} ms to replay and finish the plan", start.elapsed().as_secs_f64() * 1e3);
    drop(encoded);

    let rows = trainer.plan().profile(Profile { warmup: 1, runs: runs as u32 })?;
    let mut parts: Vec<(&str, f64, f64)> = Vec::new();
    for row in &rows {
        match parts.iter_mut().find(|(scope, _, _)| *scope == row.scope) {
            Some((_, ms, flops)) => (*ms, *flops) = (*ms + row.median_ms, *flops + row.cost.flops),
            None => parts.push((row.scope, row.median_ms, row.cost.flops)),
        }
    }
    println!("\npart              ms     share   GFLOP/s");
    let total: f64 = parts.iter().map(|(_, ms, _)| ms).sum();
    for (scope, ms, flops) in &parts {
        println!("{scope:<10} {ms:>9.2} {:>8.1}% {:>9.2}", 100.0 * ms / total, flops / ms / 1e6);
    }
    println!();
    let mut sorted: Vec<&ProfileRow> = rows.iter().collect();
    sorted.sort_by(|a, b| b.median_ms.total_cmp(&a.median_ms));
    sorted.iter().take(25).for_each(|row| println!("{row}"));
    Ok(())
}
