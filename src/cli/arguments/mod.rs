//! Command-line arguments, declared for clap. The KEY=VALUE words of a group are checked by `groups`.

pub mod gpt;

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};
use ketformer::gpu::GpuOptions;

use self::gpt::{EXAMPLE as GPT_EXAMPLE, GptCommand};
use crate::cli::groups::hamiltonian::Hamiltonians;
use crate::cli::groups::train::MAX_SAMPLES;
use crate::cli::groups::wave_function::WaveFunctions;
use crate::cli::settings::memory_size;
use crate::cli::settings::typed::Typed;

/// Trains transformer wave functions on any GPU that Vulkan, Metal or DX12 can reach.
#[derive(Debug, Parser)]
#[command(name = "ketformer", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a wave function to approximate the ground state
    #[command(after_help = TRAIN_EXAMPLE)]
    Train(TrainArguments),
    /// Train at each value of one coupling and plot the phase diagram
    #[command(after_help = SWEEP_EXAMPLE)]
    Sweep(SweepArguments),
    /// Train, evaluate and sample a GPT, a transformer that predicts the next token of a text
    #[command(after_help = GPT_EXAMPLE, arg_required_else_help = true)]
    Gpt {
        #[command(subcommand)]
        command: GptCommand,
    },
    /// Evaluate a trained wave function on fresh samples
    #[command(after_help = EVAL_EXAMPLE)]
    Eval(EvalArguments),
    /// Sample configurations of a trained wave function into a NumPy file
    #[command(after_help = SAMPLE_EXAMPLE)]
    Sample(SampleArguments),
    /// Write an HTML report of a run: curves, lattice, correlations, attention, settings
    #[command(after_help = REPORT_EXAMPLE)]
    Report(ReportArguments),
    /// Compute the ground state of a lattice of up to 20 sites by exact diagonalization
    #[command(
        after_help = "Examples: ketformer exact --rydberg L=16 V=7 delta=1 Omega=1\n          ketformer exact --tfim Lx=4 Ly=4 h=3.044 periodic=true\n          ketformer exact --heisenberg Lx=16 Ly=1"
    )]
    Exact(ExactArguments),
    /// Benchmark the kernels on an adapter: limits, attention, matmul, norm, categorical, connected, step
    #[command(after_help = BENCH_EXAMPLE)]
    Bench(Box<BenchArguments>),
    /// Measure which kernel variants are fastest on an adapter and store the result for later runs
    #[command(after_help = TUNE_EXAMPLE)]
    Tune(TuneArguments),
    /// List the adapters
    Devices,
    /// List the kernels, or print the assembled WGSL of one
    Kernels {
        /// Name of a kernel
        name: Option<String>,
        /// Values of constants marked `// spec`, such as HEAD_DIM=64
        #[arg(value_name = "NAME=VALUE")]
        constants: Vec<String>,
    },
    /// Check every kernel on an adapter against its 64-bit reference
    Doctor {
        /// Names of kernels; all if none is given
        #[arg(value_name = "KERNEL", conflicts_with = "gpu")]
        kernels: Vec<String>,
        #[command(flatten)]
        adapter: AdapterArguments,
        /// Run two cases per kernel and variant only, in about a minute on a CPU driver
        #[arg(long, conflicts_with = "gpu")]
        quick: bool,
        /// List the kernel variants that this GPU would run, without the hardware, such as m2; another name lists all
        #[arg(long, value_name = "NAME", conflicts_with = "adapter")]
        gpu: Option<String>,
    },
    /// Explain a command, or list the keys of a group: train, a wave function (ptf, rnn, lptf, rbm, vit), a
    /// Hamiltonian, eval, sample, report, gpt
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
Each point starts from the weights of the previous one, trains for steps= steps in its own folder, and is evaluated.
sweep.csv has one row per point; sweep.svg plots the energy, the order parameter of the Hamiltonian and its fluctuation.
Examples: ketformer sweep L=16 steps=300 lr=4e-3 schedule=cosine clip=1 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=0:3:0.25
          ketformer sweep --resume out/1";

const SAMPLE_EXAMPLE: &str = "\
Each row of the file is a configuration, one byte per site, 0 or 1. Site x*Ly + y is at (x, y): in NumPy
np.load('spins.npy').reshape(-1, Lx, Ly)[sample, x, y].
A second file, spins.log_p.npy, has their log-probabilities (for --rbm and --vit log psi^2, up to a constant).
Keys with their defaults: ketformer help sample
Examples: ketformer sample out/1 -n 100000 -o spins.npy
          ketformer sample out/1 -n 1000 -o more.npy seed=2";

const REPORT_EXAMPLE: &str = "\
The report is one file that opens in any browser without network access, by default report.html in the run folder.
Keys with their defaults: ketformer help report
Examples: ketformer report out/1
          ketformer report out/1 samples=20000 -o report.html";

const BENCH_EXAMPLE: &str = "\
Every kernel is compared with its 64-bit reference before it is timed.
Shapes: attention BxHxTxD, matmul ROWSxINNERxCOLUMNS, norm ROWSxC, categorical ROWSxV,
connected and steps LxKxNh, scaling LxK
Examples: ketformer bench
          ketformer bench attention --shape 256x8x16x16 --runs 50 --json new.json --compare old.json
          ketformer bench attention --kernel mine.wgsl --suite standard --baseline naive --baseline ours
          ketformer bench report laptop.json workstation.json -o table.html";

const TUNE_EXAMPLE: &str = "\
Only variants that give the same bits are compared, so that no result changes. The result is stored for each adapter in
the user's cache folder, or in the folder KETFORMER_CACHE; a new driver or version of ketformer requires a new run.
Examples: ketformer tune
          ketformer train --no-tuning L=16 steps=1000";

/// Selection of the adapter and of kernel variants.
#[derive(Debug, Clone, Args)]
pub struct AdapterArguments {
    /// Adapter by index or by part of its name; `ketformer devices` lists them [env: KETFORMER_ADAPTER, then
    /// WGPU_ADAPTER_NAME]
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// Select kernel variants by the built-in rules, not by `ketformer tune`; results have the same bits
    #[arg(long)]
    pub no_tuning: bool,
}

impl AdapterArguments {
    /// Options for opening the GPU.
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
    /// Maximum GPU memory, such as 512MiB or 2G [default: a part of the adapter's memory]
    #[arg(long, value_name = "SIZE", value_parser = memory_size::parse, allow_hyphen_values = true)]
    pub memory: Option<u64>,
    /// Print no progress and no notes, only warnings and errors
    #[arg(long)]
    pub quiet: bool,
}

/// Flags of the output of a training run.
#[derive(Debug, Clone, Args)]
pub struct RunOutputArguments {
    /// Print one JSON object per report, each on a line of stdout, and a last one with the result
    #[arg(long)]
    pub json: bool,
    /// Also write every step to TensorBoard event files in the folder tensorboard of the run;
    /// `tensorboard --logdir out` displays them
    #[arg(long)]
    pub tensorboard: bool,
}

/// Groups of settings that define the problem.
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
    /// The same settings in the syntax of the reference code
    #[arg(long, value_name = "KEY=VALUE", num_args = 0.., action = ArgAction::Set)]
    pub train: Option<Vec<String>>,
    #[command(flatten)]
    pub groups: GroupArguments,
    /// Run folder, new or empty [default: a numbered folder under out/]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Initial weights, a safetensors file or a run folder
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Resume the run in this folder, to the same bits on the same adapter; steps, lr, clip, report, checkpoint,
    /// max_rejected_steps and max_device_losses are allowed to change
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub output: RunOutputArguments,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

impl TrainArguments {
    /// Replaces the number of steps.
    pub fn with_steps(mut self, steps: u64) -> Self {
        let others = |words: &mut Vec<String>| words.retain(|word| !word.starts_with("steps="));
        others(&mut self.settings);
        self.train.iter_mut().for_each(others);
        self.settings.push(format!("steps={steps}"));
        self
    }

    /// Settings of the run: the positional words, then those of `--train`.
    pub fn words(&self) -> Vec<String> {
        self.settings.iter().chain(self.train.iter().flatten()).cloned().collect()
    }
}

impl GpuArguments {
    /// Flags of a command that reproduces a run, with its weights.
    pub fn reproducing(&self, weights: Option<&Path>, tensorboard: bool) -> Vec<String> {
        let with_values = [
            ("--weights", weights.map(|path| path.display().to_string())),
            ("--adapter", self.adapter.adapter.clone()),
            ("--memory", self.memory.map(|memory| memory.to_string())),
        ];
        let with_values = with_values.into_iter().filter_map(|(flag, value)| Some([flag.to_string(), value?]));
        with_values.flatten().chain(tensorboard.then(|| "--tensorboard".to_string())).collect()
    }
}

/// `ketformer sweep`
#[derive(Debug, Clone, Args)]
pub struct SweepArguments {
    #[command(flatten)]
    pub train: TrainArguments,
    /// Number of samples in the evaluation of each point
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(2..=MAX_SAMPLES))]
    pub samples: u64,
    /// Steps of the first point, which has no previous point to start from [default: four times steps=]
    #[arg(long, value_name = "N")]
    pub first_steps: Option<u64>,
}

/// `ketformer eval`
#[derive(Debug, Args)]
pub struct EvalArguments {
    /// Run folder, and settings such as samples=10000
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub groups: GroupArguments,
    /// Weights to evaluate with the given groups, a safetensors file or a run folder
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Same as symmetrize=true
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
    /// Run folder, and settings such as seed=2
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// Number of configurations
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_SAMPLES))]
    pub samples: u64,
    /// Output file for the configurations, .npy; overwritten if it exists
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub groups: GroupArguments,
    /// Weights to sample from instead of a run folder, a safetensors file
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer report`
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Run folder, and settings such as samples=10000
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// Output file; overwritten if it exists [default: report.html in the run folder]
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
    /// Print one JSON object, with densities of all sites and the structure factor
    #[arg(long)]
    pub json: bool,
    /// Print no notes, only warnings and errors
    #[arg(long)]
    pub quiet: bool,
}

/// `ketformer bench`
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to measure: limits, attention, linear-attention, suffix, matmul, norm, categorical, connected, step,
    /// step-rnn, step-lptf, step-sr, step-gpt, scaling; or model, the predicted time of a step on the GPU of --gpu;
    /// or report with files that --json wrote, which are merged into one page [default: limits attention matmul]
    #[arg(value_name = "SUBJECT")]
    pub subjects: Vec<String>,
    /// Shape to measure instead of the default ones, such as 256x8x16x16; may be given several times. For attention
    /// samples x heads x positions x width, with heads of keys and keys as in 1x32/8x1:4096x128
    #[arg(long, value_name = "SHAPE", allow_hyphen_values = true)]
    pub shape: Vec<String>,
    /// Attention kernel to measure, a WGSL file (docs/benchmarking.md); may be given several times
    #[arg(long, value_name = "FILE")]
    pub kernel: Vec<String>,
    /// Kernel to compare with: ours, naive or a WGSL file; may be given several times [default: ours]. For report the
    /// name of a kernel in the files, to which ratios are relative [default: ketformer]
    #[arg(long, value_name = "NAME")]
    pub baseline: Vec<String>,
    /// Shapes of attention: short, standard, long, decode or all; may be given several times [default: short]
    #[arg(long, value_name = "NAME")]
    pub suite: Vec<String>,
    /// Only this mask of attention: causal or full
    #[arg(long, value_name = "NAME")]
    pub mask: Vec<String>,
    /// Only these passes of attention: forward or forward-backward
    #[arg(long, value_name = "NAME")]
    pub pass: Vec<String>,
    /// Element type of attention: f32 or f16; may be given several times [default: f32]
    #[arg(long, value_name = "TYPE")]
    pub dtype: Vec<String>,
    /// Seconds after which a run of a kernel of a file is stopped [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// Least total milliseconds of the timed runs of a row of attention [default: 20]
    #[arg(long, value_name = "MS")]
    pub min_time: Option<f64>,
    /// Whether this process runs kernels for another one
    #[arg(long, hide = true)]
    pub worker: bool,
    /// GPU of `bench model` instead of the adapter, such as rx6800; another name lists all
    #[arg(long, value_name = "NAME")]
    pub gpu: Option<String>,
    /// Compiler statistics for `bench model`, a JSON file
    #[arg(long, value_name = "FILE")]
    pub statistics: Option<PathBuf>,
    /// Measure this variant of each kernel that has it, such as scalar, or all kernels without textures (storage);
    /// `ketformer doctor` lists the variants
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Timed runs per row [default: 10]
    #[arg(long, value_name = "N")]
    pub runs: Option<u32>,
    /// Untimed runs before the timed ones [default: 2]
    #[arg(long, value_name = "N")]
    pub warmup: Option<u32>,
    /// Seed of the inputs [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Write the rows as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Plot the results of scaling as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Plot rates against arithmetic intensities, below the limits of the adapter, as SVG
    #[arg(long, value_name = "FILE")]
    pub roofline: Option<PathBuf>,
    /// Output file of report: .html, .md or .csv [default: prints Markdown]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Compare with a file that --json wrote earlier, on any machine: old time over new time
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,
    #[command(flatten)]
    pub adapter: AdapterArguments,
    /// Print no progress, only warnings and errors
    #[arg(long)]
    pub quiet: bool,
}

impl BenchArguments {
    /// Given flags that not every form of the command has.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--shape", !self.shape.is_empty()),
            ("--kernel", !self.kernel.is_empty()),
            ("--baseline", !self.baseline.is_empty()),
            ("--suite", !self.suite.is_empty()),
            ("--mask", !self.mask.is_empty()),
            ("--pass", !self.pass.is_empty()),
            ("--dtype", !self.dtype.is_empty()),
            ("--timeout", self.timeout.is_some()),
            ("--min-time", self.min_time.is_some()),
            ("--gpu", self.gpu.is_some()),
            ("--statistics", self.statistics.is_some()),
            ("--variant", self.variant.is_some()),
            ("--runs", self.runs.is_some()),
            ("--warmup", self.warmup.is_some()),
            ("--seed", self.seed.is_some()),
            ("--csv", self.csv.is_some()),
            ("--json", self.json.is_some()),
            ("--plot", self.plot.is_some()),
            ("--roofline", self.roofline.is_some()),
            ("--out", self.out.is_some()),
            ("--compare", self.compare.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

/// `ketformer tune`
#[derive(Debug, Args)]
pub struct TuneArguments {
    /// Tune for the most common networks only
    #[arg(long)]
    pub quick: bool,
    /// Time limit in seconds; kernels not measured by then keep their default variants [default: 110, with --quick 25]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub seconds: Option<f64>,
    /// Adapter by index or by part of its name; `ketformer devices` lists them [env: KETFORMER_ADAPTER, then
    /// WGPU_ADAPTER_NAME]
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// Print no progress, only warnings and errors
    #[arg(long)]
    pub quiet: bool,
}
