//! Random command lines, on a machine without an adapter: each one is refused, or gets as far as the adapter.

use rand::RngExt;
use rand::rngs::SmallRng;
use tempfile::TempDir;

use crate::for_each_fault;
use crate::law::lawful;
use crate::mutation::random;
use crate::program::without_driver;

const COMMANDS: &[&str] = &[
    "train", "eval", "sample", "report", "sweep", "exact", "bench", "tune", "doctor", "kernels", "devices", "help",
    "xtrain", "--train", "",
];

const GROUPS: &[&str] = &[
    "--ptf",
    "--rnn",
    "--lptf",
    "--rbm",
    "--vit",
    "--rydberg",
    "--tfim",
    "--heisenberg",
    "--xxz",
    "--RYDBERG",
    "--train",
];

const FLAGS: &[&str] = &[
    "--json",
    "--quiet",
    "--symmetrize",
    "--memory",
    "--adapter",
    "--out",
    "-o",
    "--weights",
    "--resume",
    "--no-tuning",
    "--tensorboard",
    "--gpu",
    "--help",
    "-h",
    "--version",
    "--nonsense",
    "--",
    "-",
];

const KEYS: &[&str] = &[
    "L",
    "Lx",
    "Ly",
    "K",
    "Q",
    "B",
    "NLOOPS",
    "steps",
    "lr",
    "seed",
    "optimizer",
    "schedule",
    "warmup",
    "clip",
    "lambda",
    "momentum",
    "precision",
    "unique",
    "report",
    "checkpoint",
    "dir",
    "sub_directory",
    "patch",
    "Nh",
    "nhead",
    "num_layers",
    "ffn",
    "attention",
    "norm",
    "activation",
    "position",
    "start",
    "sector",
    "phase",
    "rnntype",
    "alpha",
    "chains",
    "sweeps",
    "burn_in",
    "proposal",
    "d",
    "heads",
    "layers",
    "V",
    "delta",
    "Omega",
    "h",
    "J",
    "J1",
    "J2",
    "Delta",
    "hz",
    "hx",
    "periodic",
    "marshall",
    "samples",
    "max_rejected_steps",
    "sampling_power",
    "temperature",
    "temperature_end",
    "temperature_steps",
    "blockade",
    "site_order",
    "max_device_losses",
    "nonsense",
    "",
];

const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "4",
    "8",
    "16",
    "-1",
    "-0.5",
    "0.5",
    "1e-3",
    "1e300",
    "-1e300",
    "1e-320",
    "NaN",
    "inf",
    "-inf",
    "2x2",
    "4x2",
    "1x1",
    "0x0",
    "x",
    "2x",
    "99999999999",
    "18446744073709551616",
    "true",
    "false",
    "None",
    "adam",
    "sr",
    "cosine",
    "softmax",
    "linear",
    "factored",
    "GRU",
    "all",
    "zero",
    "x",
    "y",
    "single",
    "mixed",
    "flip",
    "exchange",
    "",
    "=",
    "\u{221e}",
    "-2:2:0.5",
    "0:1",
    "a b",
    "'",
    "../..",
    "<NONE>",
    "1,2",
    "0x10",
    "1_000",
    "+4",
    " 4",
    "4 ",
    "16MiB",
    "10min",
];

/// Whole lines that are valid, from which other lines are made by changing some of their words.
const LINES: &[&str] = &[
    "train L=16 K=64 steps=10 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=1 Omega=1",
    "train L=64 lr=1e-3 schedule=cosine warmup=10 --rnn patch=2x2 Nh=128 --tfim h=3.044 periodic=true",
    "train L=16 optimizer=sr lambda=1e-2 --rbm alpha=2 sweeps=4 --heisenberg marshall=true",
    "train L=16 --vit patch=2x2 d=16 heads=4 layers=2 --heisenberg J2=0.5",
    "train L=256 --lptf patch=4x4 Nh=128 --rnn L=16 patch=2x2 --xxz Delta=0.5 hz=0.1",
    "sweep L=9 K=16 steps=10 --rnn patch=3 Nh=8 --tfim h=-4:4:0.5",
    "exact --rydberg L=9 V=7 delta=1 Omega=1",
    "exact --heisenberg Lx=4 Ly=2 J2=0.5 --json",
    "eval out/1 samples=1000 --symmetrize --json",
    "sample out/1 samples=100 -o samples.npy",
    "report out/1",
    "bench model step --gpu rx6800",
    "doctor --gpu m2",
    "help train",
];

fn pick<'a>(all: &[&'a str], random: &mut SmallRng) -> &'a str {
    all[random.random_range(0..all.len())]
}

/// A random word of a command line.
fn word(random: &mut SmallRng) -> String {
    match random.random_range(0..5) {
        0 => pick(GROUPS, random).into(),
        1 => pick(FLAGS, random).into(),
        2 => pick(VALUES, random).into(),
        _ => format!("{}={}", pick(KEYS, random), pick(VALUES, random)),
    }
}

/// Words of a random command line.
fn line(random: &mut SmallRng) -> Vec<String> {
    if random.random_range(0..3) == 0 {
        let begin = std::iter::once(pick(COMMANDS, random).to_string()).filter(|word| !word.is_empty());
        let count = random.random_range(0..8);
        return begin.chain((0..count).map(|_| word(random)).collect::<Vec<_>>()).collect();
    }
    let mut words: Vec<String> = pick(LINES, random).split(' ').map(String::from).collect();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..words.len());
        match (random.random_range(0..5), words[at].split_once('=')) {
            (0..=2, Some((key, _))) => words[at] = format!("{key}={}", pick(VALUES, random)),
            (3, _) => drop(words.remove(at)),
            _ => words.insert(at + 1, word(random)),
        }
        if words.is_empty() {
            break;
        }
    }
    words
}

#[test]
fn random_command_lines_are_refused_in_one_line() {
    for_each_fault(250, |fault| {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let words = line(&mut random(fault));
        let mut command = without_driver(folder.path(), "");
        command.args(&words);
        lawful(command).map(|_| ())
    });
}
