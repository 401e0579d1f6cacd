use ketformer::gpu::Gpu;
use ketformer::kernels::ALL;
use std::collections::BTreeMap;
#[test]
fn scratch() {
    let gpu = Gpu::new().unwrap();
    let filter = std::env::var("KERNEL").unwrap_or("recurrent".into());
    let mut first: BTreeMap<String, (String, Vec<Vec<u32>>)> = BTreeMap::new();
    for entry in ALL.iter().filter(|e| e.kernel.name.contains(&filter)) {
        let mut n = 0;
        let mut worst = 0.0f64;
        for case in (entry.cases)(&gpu) {
            let name = format!("{} {}", entry.kernel.name, case.name);
            n += 1;
            if let Ok(only) = std::env::var("CASE") {
                if !case.name.contains(&only) {
                    continue;
                }
            }
            let start = std::time::Instant::now();
            let result = case.run(&gpu);
            let took = start.elapsed().as_secs_f64();
            if took > 1.0 {
                println!("{took:.1} s {name}");
            }
            match result {
                Ok(words) => {
                    for m in case.compare(&words) {
                        worst = worst.max(m.error / m.tolerance.max(1e-30));
                        if !m.passed() {
                            println!("FAIL {name}: {m:?}");
                        }
                    }
                    let what = format!(
                        "{}{}",
                        entry.kernel.name.trim_end_matches("_private"),
                        case.name.split(" [").next().unwrap()
                    );
                    let b = first.entry(what).or_insert((case.name.clone(), words.clone()));
                    if b.1 != words {
                        println!("BITS {name} vs {}", b.0);
                    }
                }
                Err(e) => println!("ERR {name}: {e}"),
            }
        }
        println!("{}: {n} cases, worst {worst:.3}", entry.kernel.name);
    }
}
