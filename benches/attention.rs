//! `cargo bench --bench attention`: the limits of the adapter and the measurements of `ketformer bench attention`, at
//! the default shapes.

use ketformer::bench::{self, BenchConfig, Subject};

fn main() -> ketformer::Result<()> {
    let gpu = ketformer::Gpu::new()?;
    let config = BenchConfig::new(vec![Subject::Limits, Subject::Attention]);
    let report = bench::run(&gpu, &config, &mut |title| eprintln!("{title}"))?;
    println!("{}", report.table());
    Ok(())
}
