use ketformer::gpu::*;
use ketformer::kernels::find;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn main() -> ketformer::Result<()> {
    let gpu = Gpu::new()?;
    let lanes = 8u32;
    let base = find("linear_product")?.kernel;
    let mut variants: Vec<(String, u32, String)> = vec![("std16".into(), 16, base.source.into())];
    for f in std::env::args().skip(1) {
        let (rows, path) = f.split_once(':').unwrap();
        variants.push((path.into(), rows.parse().unwrap(), std::fs::read_to_string(path).unwrap()));
    }
    for (rows, k, n, order) in [
        (6144u32, 32u32, 2048u32, 1u32),
        (6144, 2048, 32, 1),
        (1024, 32, 2048, 0),
        (1024, 2048, 32, 0),
        (4096, 128, 2048, 1),
        (4096, 2048, 128, 1),
    ] {
        for (name, tile, source) in &variants {
            let source: &'static str = Box::leak(source.clone().into_boxed_str());
            let kname: &'static str = Box::leak(name.clone().into_boxed_str());
            let kernel: &'static Kernel = Box::leak(Box::new(Kernel { name: kname, source, shared: base.shared }));
            let subgroups = 2u32;
            let x = gpu.upload("x", &(0..rows * k).map(|i| (i % 11) as f32 * 0.1).collect::<Vec<_>>())?;
            let w = gpu.upload("w", &(0..n * k).map(|i| (i % 7) as f32 * 0.1).collect::<Vec<_>>())?;
            let b = gpu.upload("b", &vec![0.5f32; n as usize])?;
            let y = gpu.buffer("y", (rows * n) as u64)?;
            let mut plan = Plan::new(&gpu);
            let tiles = (rows.div_ceil(*tile) * n.div_ceil(4 * lanes)) as u64;
            plan.launch(&Launch {
                kernel,
                spec: &[("LANES", lanes), ("SUBGROUPS", subgroups), ("WEIGHT_OUT_IN", order)],
                bindings: &[
                    Bind { name: "x", view: &x, elements: (rows * k) as u64 },
                    Bind { name: "weight", view: &w, elements: (n * k) as u64 },
                    Bind { name: "bias", view: &b, elements: n as u64 },
                    Bind { name: "extra", view: &b, elements: 4 },
                    Bind { name: "y", view: &y, elements: (rows * n) as u64 },
                ],
                params: &[
                    ("rows", rows.into()),
                    ("inner", k.into()),
                    ("columns", n.into()),
                    ("y_stride", 1.into()),
                    ("y_first", 0.into()),
                ],
                groups: Groups::Fixed(tiles.div_ceil(subgroups as u64)),
                cost: Cost::default(),
                shape: String::new(),
            })?;
            let t = std::time::Instant::now();
            plan.run()?;
            let first = t.elapsed().as_secs_f64();
            let out: Vec<f32> = y.read(&gpu, (rows * n) as usize)?;
            let sum: f64 = out.iter().map(|v| *v as f64).sum();
            let mut best: f64 = 0.0;
            for _ in 0..5 {
                let c0 = cpu();
                let t = std::time::Instant::now();
                let mut count = 0;
                while t.elapsed().as_secs_f64() < 0.2 {
                    plan.run()?;
                    count += 1;
                }
                let _ = c0;
                let gf = 2e-9 * rows as f64 * k as f64 * n as f64 * count as f64;
                best = best.max(gf / t.elapsed().as_secs_f64());
            }
            println!(
                "{name:<16} {rows:>5} {k:>5} {n:>5} order {order} first {first:.3}: best {best:.2} GF/s wall  sum {sum}"
            );
        }
    }
    Ok(())
}
