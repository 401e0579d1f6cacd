//! What may be typed, for clap. The words of a group are KEY=VALUE and are checked by `settings`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use ketformer::gpu::GpuOptions;

use super::groups::hamiltonian::Hamiltonians;
use super::groups::train::MAX_SAMPLES;
use super::groups::wave_function::WaveFunctions;
use super::memory_size;
use super::typed::Typed;

/// Trains transformer wave functions on any GPU that Vulkan, Metal or DX12 can reach.
#[derive(Debug, Parser)]
#[command(name = "ketformer", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a wave function until its energy is that of the ground state
    #[command(after_help = TRAIN_EXAMPLE)]
    Train(TrainArguments),
    /// Train at each value of one coupling, and draw the phase diagram
    #[command(after_help = SWEEP_EXAMPLE)]
    Sweep(SweepArguments),
    /// Evaluate a trained wave function on fresh samples
    #[command(after_help = EVAL_EXAMPLE)]
    Eval(EvalArguments),
    /// Draw configurations of a trained wave function into a file for NumPy
    #[command(after_help = SAMPLE_EXAMPLE)]
    Sample(SampleArguments),
    /// Make one HTML page of a run: curves, lattice, correlations, attention, settings
    #[command(after_help = REPORT_EXAMPLE)]
    Report(ReportArguments),
    /// Ground state of a small lattice by Lanczos, up to 20 sites
    #[command(
        after_help = "Examples: ketformer exact --rydberg L=16 V=7 delta=1 Omega=1\n          ketformer exact --tfim Lx=4 Ly=4 h=3.044 periodic=true\n          ketformer exact --heisenberg Lx=16 Ly=1"
    )]
    Exact(ExactArguments),
    /// Measure how fast the kernels are here: limits, attention, matmul, norm, head, moves, step
    #[command(after_help = BENCH_EXAMPLE)]
    Bench(BenchArguments),
    /// Measure which variants of the kernels are fastest on an adapter, for all later runs there
    #[command(after_help = TUNE_EXAMPLE)]
    Tune(TuneArguments),
    /// List the adapters
    Devices,
    /// List the kernels, or print the assembled WGSL of one
    Kernels {
        /// Name of a kernel
        name: Option<String>,
    },
    /// Check every kernel on an adapter against its reference in 64-bit floats
    Doctor {
        #[command(flatten)]
        adapter: AdapterArguments,
    },
    /// Explain a command, or list the keys of a group: train, a wave function (ptf, rnn, lptf, rbm, vit), a Hamiltonian, eval, sample, report
    Help {
        /// A group or a command
        subject: Option<String>,
    },
}

const TRAIN_EXAMPLE: &str = "\
Keys with their defaults: ketformer help train, ketformer help ptf, and so on; ketformer help lists all groups
Examples: ketformer train L=16 steps=1000 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=1 Omega=1
          ketformer train L=64 --rnn patch=2x2 Nh=128 --tfim h=3.044
          ketformer train L=256 --lptf patch=4x4 Nh=128 --rnn patch=2x2
          ketformer train L=64 --ptf patch=2x2 attention=linear norm=pre
          ketformer train L=36 --rbm alpha=2 sweeps=4
          ketformer train --resume out/1 steps=2000";

const EVAL_EXAMPLE: &str = "\
Keys with their defaults: ketformer help eval
Examples: ketformer eval out/1 samples=10000
          ketformer eval out/1 samples=1000 --symmetrize
          ketformer eval out/1 samples=100000 --json > observables.json
          ketformer eval --weights model.safetensors --ptf patch=2x2 Nh=32 --rydberg V=7";

const SWEEP_EXAMPLE: &str = "\
Every point begins with the weights of the one before, trains for steps= steps in a folder of its own, and is evaluated.
sweep.csv has a row for each point, sweep.svg the energy, the staggered magnetisation and its fluctuation.
Examples: ketformer sweep L=16 steps=300 lr=4e-3 schedule=cosine clip=1 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=0:3:0.25
          ketformer sweep --resume out/1";

const SAMPLE_EXAMPLE: &str = "\
Rows of the file are configurations, one byte a site, 0 or 1. Site x*Ly + y is at (x, y): in NumPy
np.load('spins.npy').reshape(-1, Lx, Ly)[sample, x, y].
Beside spins.npy, spins.log_p.npy has their log-probabilities (of --rbm and --vit log psi^2, up to a constant).
Keys with their defaults: ketformer help sample
Examples: ketformer sample out/1 -n 100000 -o spins.npy
          ketformer sample out/1 -n 1000 -o more.npy seed=2";

const REPORT_EXAMPLE: &str = "\
The page is one file that opens in any browser, without a network. It is written into the run folder as report.html.
Keys with their defaults: ketformer help report
Examples: ketformer report out/1
          ketformer report out/1 samples=20000 -o report.html";

const BENCH_EXAMPLE: &str = "\
Every kernel is compared with its reference in 64-bit floats before it gets a time.
Shapes: attention BxHxTxD, matmul ROWSxINNERxCOLUMNS, norm ROWSxC, head ROWSxV, moves and steps LxKxNh, scaling LxK
Examples: ketformer bench
          ketformer bench attention --shape 256x8x16x16 --runs 50 --json new.json --compare old.json";

const TUNE_EXAMPLE: &str = "\
Only variants that give the same bits are compared, so that no result changes. What was found is kept for each adapter in
the user's cache folder, or in the folder KETFORMER_CACHE; a new driver or version of ketformer needs a new run.
Examples: ketformer tune
          ketformer tune --show
          ketformer train --no-tuning L=16 steps=1000";

/// Which adapter.
#[derive(Debug, Clone, Args)]
pub struct AdapterArguments {
    /// Adapter by index or by part of its name; `ketformer devices` lists them [env: KETFORMER_ADAPTER]
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// Choose variants of kernels by the built-in rules, whatever `ketformer tune` found; results are the same bits
    #[arg(long)]
    pub no_tuning: bool,
}

impl AdapterArguments {
    /// The options to open the GPU with.
    pub fn gpu_options(&self) -> GpuOptions {
        let (adapter, ignore_tuning) = (self.adapter.clone(), self.no_tuning);
        GpuOptions { adapter, ignore_tuning, ..GpuOptions::default() }
    }
}

/// Flags of every command that computes on the GPU.
#[derive(Debug, Clone, Args)]
pub struct GpuArguments {
    #[command(flatten)]
    pub adapter: AdapterArguments,
    /// GPU memory to use at most, such as 512MiB or 2G; without it a part of the adapter's
    #[arg(long, value_name = "SIZE", value_parser = memory_size::parse, allow_hyphen_values = true)]
    pub memory: Option<u64>,
    /// No progress and no notes; warnings and errors stay
    #[arg(long)]
    pub quiet: bool,
}

/// The groups that describe the problem.
#[derive(Debug, Clone, Args)]
pub struct GroupArguments {
    #[command(flatten)]
    pub model: Typed<WaveFunctions>,
    #[command(flatten)]
    pub hamiltonian: Typed<Hamiltonians>,
}

/// `ketformer train`
#[derive(Debug, Clone, Args)]
pub struct TrainArguments {
    /// Settings of the run, such as L=16 steps=1000
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The same settings, as the reference has them
    #[arg(long, value_name = "KEY=VALUE", num_args = 0.., action = ArgAction::Set)]
    pub train: Option<Vec<String>>,
    #[command(flatten)]
    pub groups: GroupArguments,
    /// Run folder, new or empty; without it a numbered one under out/
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Weights to start from, safetensors
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Go on with the run in this folder, to the same bits on the same adapter; steps, lr, clip, report, checkpoint and
    /// rejections may change
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    /// For programs: a JSON object on a line of stdout for every report, and a last one with the result
    #[arg(long)]
    pub json: bool,
    /// Also write every step as event files for TensorBoard, into the folder tensorboard of the run; `tensorboard --logdir out`
    /// shows them
    #[arg(long)]
    pub tensorboard: bool,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

impl TrainArguments {
    /// The same for another number of steps.
    pub fn with_steps(mut self, steps: u64) -> Self {
        let others = |words: &mut Vec<String>| words.retain(|word| !word.starts_with("steps="));
        others(&mut self.settings);
        self.train.iter_mut().for_each(others);
        self.settings.push(format!("steps={steps}"));
        self
    }

    /// The settings of the run, from both places.
    pub fn words(&self) -> Vec<String> {
        self.settings.iter().chain(self.train.iter().flatten()).cloned().collect()
    }
}

/// `ketformer sweep`
#[derive(Debug, Clone, Args)]
pub struct SweepArguments {
    #[command(flatten)]
    pub train: TrainArguments,
    /// Samples that every point is evaluated with
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(2..=MAX_SAMPLES))]
    pub samples: u64,
    /// Steps of the first point, which begins from nothing [default: four times steps=]
    #[arg(long, value_name = "N")]
    pub first_steps: Option<u64>,
}

/// `ketformer eval`
#[derive(Debug, Args)]
pub struct EvalArguments {
    /// A run folder, and settings such as samples=10000
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub groups: GroupArguments,
    /// Weights to evaluate instead of a run folder's, safetensors
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// The same as symmetrize=true
    #[arg(long)]
    pub symmetrize: bool,
    /// Print one JSON object, with densities of all sites, correlations and the structure factor
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer sample`
#[derive(Debug, Args)]
pub struct SampleArguments {
    /// A run folder, and settings such as seed=2
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// How many configurations
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_SAMPLES))]
    pub samples: u64,
    /// File for the configurations, .npy; it is replaced
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub groups: GroupArguments,
    /// Weights to draw from instead of a run folder's, safetensors
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer report`
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// A run folder, and settings such as samples=10000
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// File for the page; it is replaced [default: report.html in the run folder]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer exact`
#[derive(Debug, Args)]
pub struct ExactArguments {
    /// Settings of the Hamiltonian, such as L=16
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    #[command(flatten)]
    pub hamiltonian: Typed<Hamiltonians>,
}

/// `ketformer bench`
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to measure: limits, attention, matmul, norm, head, moves, step, step-rnn, step-lptf, scaling [default: limits
    /// attention matmul]
    #[arg(value_name = "SUBJECT")]
    pub subjects: Vec<String>,
    /// Sizes instead of the default ones, such as 256x8x16x16; may be given several times
    #[arg(long, value_name = "SHAPE", allow_hyphen_values = true)]
    pub shape: Vec<String>,
    /// Measure this variant of each kernel that has it, such as private, or all without textures (storage); `ketformer
    /// doctor` lists the variants
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Timed runs of each row [default: 10]
    #[arg(long, value_name = "N")]
    pub runs: Option<u32>,
    /// Runs before the first timed one [default: 2]
    #[arg(long, value_name = "N")]
    pub warmup: Option<u32>,
    /// Seed of the inputs; without it one is drawn
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Write the rows as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw what scaling found, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Compare with what --json wrote earlier, also elsewhere: old time over new time
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,
    #[command(flatten)]
    pub adapter: AdapterArguments,
    /// No progress; warnings and errors stay
    #[arg(long)]
    pub quiet: bool,
}

/// `ketformer tune`
#[derive(Debug, Args)]
pub struct TuneArguments {
    /// The commonest networks only
    #[arg(long)]
    pub quick: bool,
    /// Seconds after which what is left keeps its default [default: 110, with --quick 25]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub seconds: Option<f64>,
    /// Print what was found earlier, and measure nothing
    #[arg(long, conflicts_with_all = ["quick", "seconds", "forget"])]
    pub show: bool,
    /// Delete what was found earlier, and measure nothing
    #[arg(long, conflicts_with_all = ["quick", "seconds"])]
    pub forget: bool,
    /// Adapter by index or by part of its name; `ketformer devices` lists them [env: KETFORMER_ADAPTER]
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// No progress; warnings and errors stay
    #[arg(long)]
    pub quiet: bool,
}
