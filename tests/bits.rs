//! Bits of short training runs: metrics and weights of every family against hashes recorded on the same adapter and
//! driver, `data/bits.json`. Without recorded hashes each run is compared with the same run in little memory.
//!
//! `KETFORMER_RECORD_BITS=1 cargo test --release --test bits` prints the adapter's entry for that file instead. An
//! intended change of bits requires all entries to be recorded again.

mod program;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::{fs, thread};

use ketformer::gpu::{Gpu, GpuOptions};
use ketformer::wgpu::Features;
use program::{end, metrics, program};
use tempfile::TempDir;

/// Name and settings of each run.
const RUNS: &[(&str, &str)] = &[
    ("ptf", "L=16 K=256 steps=2 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=1 Omega=1"),
    ("ptf-head-64", "L=16 K=48 steps=3 --ptf patch=2x1 Nh=64 nhead=1 num_layers=1 ffn=64 --tfim h=3.044 periodic=true"),
    (
        "ptf-head-3",
        "L=4x6 K=33 Q=2 steps=3 schedule=cosine clip=1 unique=false \
         --ptf patch=1 Nh=12 nhead=4 num_layers=1 ffn=36 --rydberg",
    ),
    (
        "ptf-learned",
        "L=16 K=64 steps=3 \
         --ptf patch=2x1 Nh=32 nhead=4 ffn=64 norm=pre activation=gelu position=learned start=learned --rydberg",
    ),
    ("ptf-mixed", "L=16 K=64 steps=3 precision=mixed --ptf patch=2x1 Nh=32 nhead=4 ffn=64 --rydberg"),
    ("ptf-linear", "L=16 K=64 steps=3 --ptf attention=linear patch=1 Nh=32 nhead=4 ffn=64 --tfim h=1 periodic=true"),
    ("ptf-phase", "L=16 K=64 steps=3 --ptf patch=2x2 Nh=32 nhead=4 ffn=64 phase=true sector=zero --heisenberg J2=0.5"),
    ("ptf-sr", "L=16 K=64 steps=3 optimizer=sr momentum=0.9 clip=0.3 --ptf patch=2x2 Nh=32 nhead=4 ffn=64 --rydberg"),
    (
        "ptf-linear-sr",
        "L=16 K=48 steps=2 optimizer=sr --ptf attention=linear patch=2x1 Nh=16 nhead=2 ffn=32 \
         --heisenberg marshall=true",
    ),
    (
        "ptf-phase-sr",
        "L=16 K=64 steps=3 optimizer=sr --ptf patch=4 Nh=32 nhead=4 ffn=64 phase=true sector=zero \
         --heisenberg Lx=16 Ly=1",
    ),
    ("rnn-gru", "L=16 K=64 steps=3 --rnn patch=2x1 Nh=32 --rydberg"),
    ("rnn-elman", "L=16 K=64 steps=3 --rnn patch=1 Nh=36 rnntype=ELMAN --tfim h=1"),
    (
        "rnn-phase-sr",
        "L=16 K=64 steps=2 optimizer=sr --rnn patch=2 Nh=32 phase=true sector=zero --heisenberg Lx=16 Ly=1",
    ),
    ("lptf-rnn", "L=16 K=64 steps=3 --lptf patch=4x2 Nh=32 nhead=4 ffn=64 --rnn L=8 patch=2x1 Nh=32 --rydberg"),
    (
        "lptf-ptf",
        "L=16 K=64 steps=3 --lptf patch=4x2 Nh=32 nhead=4 ffn=64 \
         --ptf L=8 patch=2x1 Nh=16 nhead=4 ffn=32 num_layers=1 --tfim h=1",
    ),
    (
        "lptf-mixed",
        "L=16 K=64 steps=2 precision=mixed --lptf patch=2x2 Nh=32 nhead=4 ffn=64 \
         --ptf L=4 patch=2x1 Nh=16 nhead=4 ffn=32 num_layers=1 --rydberg",
    ),
    (
        "lptf-rnn-sr",
        "L=16 K=48 steps=2 optimizer=sr --lptf patch=2x2 Nh=16 nhead=4 ffn=32 --rnn L=4 patch=2x1 Nh=16 \
         --heisenberg marshall=true",
    ),
    ("rbm", "L=16 K=64 steps=3 --rbm alpha=2 sweeps=2 burn_in=4 --rydberg"),
    (
        "rbm-sr",
        "L=16 K=160 steps=3 optimizer=sr sampling_power=1 momentum=0.9 \
         --rbm alpha=1 sweeps=2 burn_in=4 proposal=exchange --heisenberg marshall=true",
    ),
    ("vit", "L=16 K=64 steps=2 --vit patch=2x2 d=16 heads=4 layers=2 --heisenberg J2=0.5"),
    (
        "vit-sr",
        "L=16 K=64 steps=2 optimizer=sr lambda=1e-2 momentum=0.9 sampling_power=1 clip=0.5 \
         --vit patch=2x2 d=16 heads=4 layers=2 --heisenberg J2=0.5",
    ),
    (
        "vit-softmax",
        "L=16 K=32 steps=2 --vit patch=2x1 d=16 heads=2 layers=1 attention=softmax proposal=flip \
         --tfim h=1 periodic=true",
    ),
    (
        "vit-softmax-sr",
        "L=16 K=32 steps=2 optimizer=sr --vit patch=2x2 d=16 heads=4 layers=1 attention=softmax --heisenberg J2=0.5",
    ),
];

/// Hashes of a run by the name of what is hashed.
type Hashes = BTreeMap<String, String>;
/// Hashes of each run by its name, or what the program printed if it failed.
type Outcomes = BTreeMap<String, Result<Hashes, String>>;

/// CRC-32 of the metrics without the header and the seconds, and of the weights, of a run in `folder`.
fn hashes(folder: &Path, line: &str) -> Result<Hashes, String> {
    let out = TempDir::new_in(folder).unwrap();
    let run = out.path().join("run");
    let relative = run.strip_prefix(folder).unwrap().display();
    let mut command = program(folder, &format!("train --no-tuning --quiet seed=7 {line} --out {relative}"));
    // Cooperative matrices have another reduction order.
    command.env_remove("KETFORMER_COOPERATIVE_MATRIX");
    let ended = end(command);
    if ended.code != Some(0) {
        return Err(ended.stderr);
    }
    let rows = metrics(&run)[1..].join("\n") + "\n";
    let weights = fs::read(run.join("model.safetensors")).unwrap();
    let hash = |bytes: &[u8]| format!("{:08x}", crc32fast::hash(bytes));
    Ok(BTreeMap::from([("metrics".into(), hash(rows.as_bytes())), ("weights".into(), hash(&weights))]))
}

/// Hashes of the same run within the smallest budget that it accepts, a power of two in MiB.
fn hashes_in_little_memory(folder: &Path, line: &str) -> Result<Hashes, String> {
    let within = |mib: u32| hashes(folder, &format!("{line} --memory {mib}MiB"));
    (0..12).map(|power| within(1 << power)).find(Result::is_ok).unwrap_or_else(|| within(1 << 12))
}

/// Outcomes of `runs`, as many at a time as there are cores.
fn outcomes(runs: &[(&str, &str)], hashes: impl Fn(&Path, &str) -> Result<Hashes, String> + Sync) -> Outcomes {
    let folder = TempDir::new().unwrap();
    let queue = Mutex::new(runs.iter());
    let outcomes = Mutex::new(Outcomes::new());
    let next = || queue.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, line)) = next() {
                    let outcome = hashes(folder.path(), line);
                    outcomes.lock().unwrap().insert((*name).into(), outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Instruction set of the host, which decides the kernels of faer's matrix products in `optimizer=sr`.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return "AVX2";
        }
    }
    std::env::consts::ARCH
}

/// Key of an entry: adapter, driver, subgroup sizes, f16 and host, on which bits may depend.
fn key(gpu: &Gpu, f16: bool) -> String {
    let (info, host) = (gpu.info(), instruction_set());
    let (low, high) = (info.subgroup_min_size, info.subgroup_max_size);
    let driver = format!("{} {}", info.driver, info.driver_info);
    format!("{}, driver {}, subgroups {low}..{high}, f16 {f16}, host {host}", info.name, driver.trim())
}

#[test]
fn short_runs_give_the_recorded_bits() {
    let options = GpuOptions { ignore_tuning: true, ..GpuOptions::default() };
    let gpu = Gpu::with_options(&options).expect("the tests need an adapter; ./setup.sh installs a software one");
    let f16 = gpu.features().contains(Features::SHADER_F16);
    let key = key(&gpu, f16);
    drop(gpu);
    let mut runs = RUNS.to_vec();
    runs.retain(|(_, line)| f16 || !line.contains("precision=mixed"));
    let found = outcomes(&runs, hashes);
    // Output of `eprintln!` is hidden if a test passes.
    let say = |text: &str| io::stderr().write_all(text.as_bytes()).unwrap();
    if std::env::var_os("KETFORMER_RECORD_BITS").is_some() {
        let whole = |(name, outcome)| (name, Result::as_ref(outcome).expect("a run that ends"));
        let entry: BTreeMap<&String, &Hashes> = found.iter().map(whole).collect();
        say(&format!("{}\n", serde_json::to_string_pretty(&BTreeMap::from([(key, entry)])).unwrap()));
        return;
    }
    let mut recorded: BTreeMap<String, BTreeMap<String, Hashes>> =
        serde_json::from_str(include_str!("data/bits.json")).unwrap();
    let expected: Outcomes = if let Some(entry) = recorded.remove(&key) {
        entry.into_iter().map(|(name, hashes)| (name, Ok(hashes))).collect()
    } else {
        say(&format!("bits.json has no entry {key}; each run is compared with the same run in little memory\n"));
        outcomes(&runs, hashes_in_little_memory)
    };
    let differs = |(name, line): &(&str, &str)| {
        let (found, expected) = (&found[*name], expected.get(*name));
        let same = found.is_ok() && Some(found) == expected;
        (!same).then(|| format!("{name}: {found:?}, expected {expected:?}: train seed=7 {line}"))
    };
    let different: Vec<String> = runs.iter().filter_map(differs).collect();
    assert!(different.is_empty(), "{} of {} runs on {key}:\n{}", different.len(), runs.len(), different.join("\n"));
    assert_eq!(expected.len(), runs.len(), "recorded runs that are not in RUNS, on {key}");
}
