//! Trains a small patched transformer on a 4x4 Rydberg array and saves its weights.
//!
//! cargo run --release --example train

use ketformer::physics::ground_state;
use ketformer::{Gpu, Hamiltonian, Lattice, Ptf, Rydberg, Schedule, TrainConfig, Trainer};

fn main() -> ketformer::Result<()> {
    let gpu = Gpu::new()?;
    let lattice = Lattice::square(4, 4);
    let rydberg = Rydberg { v: 7.0, delta: 1.0, omega: 1.0 };
    let model = Ptf { width: 32, heads: 4, feed_forward: 64, ..Ptf::default() };
    let steps = 400;
    let config =
        TrainConfig { learning_rate: 3e-3, schedule: Schedule::Cosine { steps }, warmup: 50, ..TrainConfig::default() };
    let exact = ground_state(&rydberg.terms(&lattice)?, lattice.sites())?.energy;

    let mut trainer = Trainer::new(&gpu, &lattice, &rydberg, &model, config)?;
    for report in trainer.steps(steps) {
        let report = report?;
        if report.step % 50 == 0 {
            println!(
                "step {:>4}  energy {:.4} ± {:.4}  variance {:.4}  {} distinct of 256 samples",
                report.step, report.energy, report.energy_error, report.variance, report.unique
            );
        }
    }
    println!("exact      energy {exact:.4}");
    trainer.weights()?.save("rydberg.safetensors")
}
