//! Arguments of the commands of `ketformer gpt`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{GpuArguments, RunOutputArguments};

/// The commands of `ketformer gpt`.
#[derive(Debug, Subcommand)]
pub enum GptCommand {
    /// Train a GPT on a text or on a built-in task
    #[command(after_help = TRAIN_EXAMPLE)]
    Train(GptTrainArguments),
    /// Continue a prompt
    #[command(after_help = SAMPLE_EXAMPLE)]
    Sample(GptSampleArguments),
    /// Compute the loss on held-out data
    #[command(after_help = EVAL_EXAMPLE)]
    Eval(GptEvalArguments),
    /// Fine-tune a trained GPT by the reward of its continuations
    #[command(after_help = TUNE_EXAMPLE)]
    Tune(GptTuneArguments),
}

/// End of the help of `ketformer gpt`.
pub const EXAMPLE: &str = "\
Keys with their defaults: ketformer help gpt
Examples: ketformer gpt train data=input.txt layers=4 heads=4 width=128 block=64 batch=12 steps=2000
          ketformer gpt sample out/1 prompt='To be' temperature=0.8
          ketformer gpt eval out/1
          ketformer gpt tune out/1 reward=sorted --out tuned";

const TRAIN_EXAMPLE: &str = "\
Keys with their defaults: ketformer help gpt
Examples: ketformer gpt train data=input.txt layers=4 heads=4 width=128 block=64 batch=12 steps=2000
          ketformer gpt train task=sort length=6 letters=3
          ketformer gpt train data=input.txt tokenizer=bpe batch=4 lr=3e-5 steps=100 --weights gpt2
          ketformer gpt train --resume out/1 steps=4000";

const SAMPLE_EXAMPLE: &str = "\
The prompt and its continuation are printed as they grow; several samples are separated by lines of ---.
Keys with their defaults: ketformer help gpt
Examples: ketformer gpt sample out/1 prompt='To be' tokens=200 temperature=0.8 top_k=40
          ketformer gpt sample out/1 samples=4 seed=7 weights=best
          ketformer gpt sample prompt=CBABBC greedy=true --weights gpt-nano-sort-model.json";

const EVAL_EXAMPLE: &str = "\
The loss is the mean cross-entropy; its error is that of independent tokens.
Keys with their defaults: ketformer help gpt
Examples: ketformer gpt eval out/1
          ketformer gpt eval out/1 data=other.txt weights=best --json";

const TUNE_EXAMPLE: &str = "\
Maximizes the mean reward of sampled continuations, minus beta times their divergence from the starting weights.
reward=command:PROGRAM starts a line of the shell once. It reads a text, prompt and continuation, from each line of its
input, with \\n for a line end and \\\\ for a backslash, and writes its reward, a finite number, as a line.
Keys with their defaults: ketformer help gpt
Examples: ketformer gpt tune out/1 reward=sorted steps=300 --out tuned
          ketformer gpt tune out/1 reward=count:the beta=0.1 tokens=32 prompt='To be'
          ketformer gpt tune out/1 reward='command:python3 reward.py'
          ketformer gpt tune --resume tuned steps=600";

/// `ketformer gpt train`
#[derive(Debug, Clone, Args)]
pub struct GptTrainArguments {
    /// Settings of the run, such as data=input.txt steps=2000
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Run folder, new or empty [default: a numbered folder under out/]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Initial weights, which define the sizes: a run folder, a safetensors file of Hugging Face's GPT-2 or of nanoGPT, or
    /// a JSON file of minGPT
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Resume the run in this folder, to the same bits on the same adapter; steps, lr, min_lr, clip, eval_batches,
    /// report, checkpoint, max_rejected_steps and max_device_losses are allowed to change
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub output: RunOutputArguments,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer gpt sample`
#[derive(Debug, Args)]
pub struct GptSampleArguments {
    /// Run folder, and settings such as prompt='To be'
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// Weights to sample from instead of a run folder, a file as for `ketformer gpt train --weights`
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Print one JSON object per sample
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer gpt eval`
#[derive(Debug, Args)]
pub struct GptEvalArguments {
    /// Run folder, and settings such as weights=best
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gpu: GpuArguments,
}

/// `ketformer gpt tune`
#[derive(Debug, Clone, Args)]
pub struct GptTuneArguments {
    /// Run folder of the GPT to start from, and settings such as reward=sorted
    #[arg(value_name = "RUN|KEY=VALUE")]
    pub words: Vec<String>,
    /// Run folder of the tuned GPT, new or empty [default: a numbered folder under out/]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Resume the fine-tuning in this folder, to the same bits on the same adapter; steps, lr, clip, report, checkpoint,
    /// max_rejected_steps and max_device_losses are allowed to change
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub output: RunOutputArguments,
    #[command(flatten)]
    pub gpu: GpuArguments,
}
