//! Traits of a wave function, as a description and on a device, and the buffers that they exchange.

use std::sync::Arc;

use super::{AttentionLayers, Layout, Metropolis, Parameters, SequenceDecoder};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::nn::large_patch::LargeTables;
use crate::kernels::rbm::sweep::Stream;
use crate::kernels::vmc::rows::Window;
use crate::physics::{Lattice, Patching, Symmetry};

/// Capacity of a network's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Samples decoded together; their keys and values are kept for the connected configurations. Also the number of
    /// Markov chains advanced together.
    pub samples: u32,
    /// Rows of one pass over connected configurations.
    pub move_rows: u32,
    /// Rows of the widest intermediate that inference passes hold at a time.
    pub hidden_rows: u32,
    /// Samples of one training pass; 0 without training.
    pub training_samples: u32,
}

impl Capacity {
    /// Capacity of training passes over `samples` samples, with minimal room for all other passes.
    pub(crate) const fn of_gradient(samples: u32) -> Self {
        Self { samples: 1, move_rows: 1, hidden_rows: 64, training_samples: samples }
    }
}

/// Words of the row metadata if a patch is one token: previous token, position, target, sites occupied before.
pub(super) const ROW_META: u32 = 4;

/// Suffix batch: the rows to recompute for the configurations connected to decoded samples.
#[derive(Debug, Clone)]
pub struct SuffixBatch {
    /// (rows) of four u32: previous token, position, target, number of sites occupied before
    pub row_meta: View,
    /// Deduplicated samples of the batch.
    pub items: Rows,
    /// Index of the first of them.
    pub first_item: u32,
    /// R, rows of each sample.
    pub rows_per_item: u32,
    /// (R) of two u32: first position whose input the row's move changes, position of the row
    pub row_table: View,
    /// Host copy of `row_table`.
    pub positions: Arc<[[u32; 2]]>,
    /// (B) u32: sample index of each deduplicated sample
    pub sample_of: View,
    /// (B, T) u32: sampled tokens
    pub tokens: View,
    /// Rows of large patches in the batch; `None` if the model has no large patches.
    pub large: Option<Arc<LargeRows>>,
}

/// [`LargeTables`] in device buffers.
#[derive(Debug)]
pub struct LargeRows {
    /// R_L, rows of large patches of each item; may be 0.
    pub per_item: u32,
    /// (R_L) of four u32
    pub rows: Buffer,
    /// (R_L) of two u32
    pub row_table: Buffer,
    /// (R) u32
    pub conditioning_of: Buffer,
}

impl LargeRows {
    /// Uploads `tables`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, tables: &LargeTables) -> Result<Self> {
        Ok(Self {
            per_item: tables.rows.len() as u32,
            rows: gpu.upload("ketformer.large.rows", &tables.rows)?,
            row_table: gpu.upload("ketformer.large.row_table", &tables.row_table)?,
            conditioning_of: gpu.upload("ketformer.large.conditioning_of", &tables.conditioning_of)?,
        })
    }
}

/// Description of a wave function, independent of a device.
pub trait Model: Send + Sync {
    /// Name on the command line, as in `--ptf`.
    fn name(&self) -> &'static str;

    /// Partition of the lattice into patches, each of which is sampled as one token.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn patching(&self, lattice: &Lattice) -> Result<Patching>;

    /// Checks that the settings are valid on `lattice`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Settings`], with the setting to change.
    fn check(&self, lattice: &Lattice) -> Result<()>;

    /// Whether ψ is complex, log ψ = ½ log P + i·phase; otherwise it is real and positive, ψ = √P.
    fn is_complex(&self) -> bool {
        false
    }

    /// Whether the wave function is restricted to configurations with half of the sites occupied. The Hamiltonian must
    /// then consist of exchanges.
    fn conserves_magnetization(&self) -> bool {
        false
    }

    /// Pairs of sites of `lattice` that are not occupied together: ψ = 0 for configurations that occupy such a pair. Only
    /// autoregressive wave functions have any.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn exclusions(&self, lattice: &Lattice) -> Result<Vec<[usize; 2]>> {
        let _ = lattice;
        Ok(Vec::new())
    }

    /// Symmetries under which ψ is exactly invariant on `lattice` for all parameters, ψ(gσ) = ψ(σ), with their names:
    /// generators of a group, without the identity. They are properties of the network and hold whether or not the
    /// lattice and the Hamiltonian have them ([`super::shortfall`]).
    ///
    /// # Errors
    /// As [`Model::check`].
    fn symmetries(&self, lattice: &Lattice) -> Result<Vec<(String, Symmetry)>> {
        let _ = lattice;
        Ok(Vec::new())
    }

    /// Settings of the Markov chains that sample an unnormalized wave function; `None` if it is autoregressive.
    fn chains(&self) -> Option<&Metropolis> {
        None
    }

    /// Attention layers; `None` without attention.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn attention(&self, lattice: &Lattice) -> Result<Option<AttentionLayers>> {
        let _ = lattice;
        Ok(None)
    }

    /// Rows of a sample in the training pass: its patches if passes run over patches, otherwise 1. Sums over rows are
    /// computed in blocks of whole samples.
    fn training_rows(&self, patching: &Patching) -> u32 {
        if self.chains().is_some() { 1 } else { patching.patches() as u32 }
    }

    /// Layout of the parameters.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn layout(&self, lattice: &Lattice) -> Result<Layout>;

    /// Creates the wave function on a device, with buffers for `capacity`, in the precision of `parameters`.
    ///
    /// # Errors
    /// As [`Model::check`] and [`Gpu::buffer`].
    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction>;
}

/// A wave function on a device. Both kinds own their buffers; every method records kernels on a plan.
pub enum WaveFunction {
    /// Normalized by construction, P(σ) = Π_t P(patch_t | earlier patches), and sampled patch by patch.
    Autoregressive(Box<dyn Autoregressive>),
    /// Unnormalized, and sampled by Markov chains ([`Model::chains`]).
    Unnormalized(Box<dyn Unnormalized>),
}

impl<N: Autoregressive + 'static> From<N> for WaveFunction {
    fn from(network: N) -> Self {
        Self::Autoregressive(Box::new(network))
    }
}

/// Window of Markov chains that advance together.
#[derive(Debug, Clone)]
pub struct ChainWindow {
    /// (all chains, T) u32: current configuration of each chain
    pub state: View,
    /// (all chains) u32: accepted proposals of each chain
    pub accepted: View,
    /// (B, T) u32: samples
    pub tokens: View,
    /// (8) u32: seed (2), step number; p in word 5, as f32: chains sample |ψ|^p
    pub step: View,
    /// Number of all chains.
    pub all: u32,
    /// Index of the first chain of the window.
    pub first: u32,
    /// Number of chains of the window.
    pub chains: u32,
    /// B
    pub samples: u32,
    /// Fraction of the sampling power p in a stage of an annealed burn-in; otherwise 1.
    pub stage: f32,
}

/// Consecutive proposals of a window of chains.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Index of the first proposal within the step; 0 resets the acceptance counters.
    pub first: u32,
    /// Number of proposals of each chain.
    pub proposals: u32,
    /// Random-number stream of the proposals.
    pub stream: Stream,
    /// Index of the sample that receives the last configuration of chain 0; chain 1 writes the next one, up to the
    /// number of samples.
    pub record: Option<u32>,
}

/// log ψ of samples, as summands (samples, columns): one column for each patch if the wave function is autoregressive,
/// otherwise one.
#[derive(Debug, Clone)]
pub struct LogPsi {
    /// Summands of log P = log |ψ|².
    pub log_p: View,
    /// Summands of the phase, in radians; `None` if ψ is real and positive.
    pub phase: Option<View>,
}

/// Gradient of a scalar with respect to log ψ of each sample.
#[derive(Debug, Clone)]
pub struct LogPsiGradient {
    /// (samples): with respect to log P = log |ψ|²
    pub d_log_p: View,
    /// (samples): with respect to the phase; `None` if ψ is real and positive.
    pub d_phase: Option<View>,
    /// Index of the first sample's element in both.
    pub first: u32,
}

/// Outputs of an autoregressive network, (rows, V) each.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// Log-probabilities of the outcomes, up to an additive constant for each row.
    pub logits: View,
    /// Phases of the outcomes, in radians; `None` if ψ is real and positive.
    pub phases: Option<View>,
}

impl From<View> for Outcomes {
    /// Outcomes of a real wave function.
    fn from(logits: View) -> Self {
        Self { logits, phases: None }
    }
}

/// Connected configurations of a window of deduplicated samples.
#[derive(Debug, Clone)]
pub struct ConnectedMoves {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32: sample index of each deduplicated sample
    pub sample_of: View,
    /// (moves) of four u32: first patch, mask, second patch or `u32::MAX`, mask
    pub moves: View,
    /// (moves) of two u32: unused, condition
    pub starts: View,
    /// (B, moves, parts)
    pub ratio: View,
    /// 1 if the wave function is real, otherwise 2: a logarithm and a phase.
    pub parts: u32,
    /// Number of moves.
    pub count: u32,
    /// Whether some moves change two sites.
    pub pairs: bool,
    /// (1) u32 within `counters`, reserved for a row count that the wave function computes.
    pub total: View,
    /// Row counters that determine the grids of indirect launches, see [`Plan::write_indirect_args`].
    pub counters: View,
}

/// Passes of an unnormalized wave function.
pub trait Unnormalized: Send {
    /// Prepares a window of chains to continue from their current configurations.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn begin(&self, plan: &mut Plan, chains: &ChainWindow) -> Result<()>;

    /// Advances a window of chains prepared by [`Unnormalized::begin`].
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn advance(&self, plan: &mut Plan, chains: &ChainWindow, stretch: &Stretch) -> Result<()>;

    /// Makes the next [`Unnormalized::begin`] independent of a pass that was stopped before its end.
    ///
    /// # Errors
    /// As [`View::write`].
    fn reset(&self, gpu: &Gpu) -> Result<()>;

    /// Computes log ψ of the first `samples` samples of `tokens` (B, T) into `log_psi`, and keeps the inputs of
    /// [`Unnormalized::ratios`].
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn amplitudes(&self, plan: &mut Plan, tokens: &View, samples: u32, log_psi: &LogPsi) -> Result<()>;

    /// Computes log ψ(σ')/ψ(σ) of the connected configurations of deduplicated samples, after
    /// [`Unnormalized::amplitudes`] of these samples.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn ratios(&self, plan: &mut Plan, window: &Window, connected: &ConnectedMoves) -> Result<()>;

    /// Computes log ψ of a window of deduplicated samples from `tokens` (B, T) and `sample_of` (B) into `log_psi`, and
    /// keeps the activations for the gradient.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn forward(
        &self,
        plan: &mut Plan,
        window: &Window,
        tokens: &View,
        sample_of: &View,
        log_psi: &LogPsi,
    ) -> Result<()>;

    /// Computes the gradient of all parameters from the gradient with respect to log ψ of each sample. The first sample
    /// of `d_log_psi` is the first of the window. The result is written `into` the gradient buffer or passed on as
    /// gradients of single samples.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()>;

    /// Computes the attention weights, averaged over the `samples` samples of [`Unnormalized::forward`]: (H, T, T) for
    /// each layer of [`Model::attention`] whose weights depend on samples.
    ///
    /// # Errors
    /// As [`Plan::launch`]; [`ErrorKind::Settings`] if there is no such layer.
    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        let _ = (plan, samples, layers);
        no_attention()
    }
}

/// Error of a network without room for training passes.
pub(super) fn no_room() -> Error {
    Error::new(ErrorKind::Shape, "the network has no room for training; give training_samples")
}

/// Error of a wave function without attention weights that depend on samples.
pub(super) fn no_attention() -> Result<()> {
    let message = "attention: this wave function has no attention weights that depend on samples; give a ptf, an lptf \
                   or a vit with attention=softmax";
    Err(Error::new(ErrorKind::Settings, message))
}

/// Passes of an autoregressive wave function.
pub trait Autoregressive: Send {
    /// Computes the logits of patch `t` of all samples from the row metadata (previous token, t, …), and keeps the keys
    /// and values. `tokens`, (samples, T) u32, holds the earlier tokens.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn decode(&self, plan: &mut Plan, rows: &View, tokens: &View, t: u32) -> Result<()>;

    /// Decoder of all patches in one launch; `None` if [`Autoregressive::decode`] decodes them one by one.
    fn sequence_decoder(&self) -> Option<&SequenceDecoder> {
        None
    }

    /// (samples, T, V): logits and phases computed by [`Autoregressive::decode`].
    fn decoded(&self) -> Outcomes;

    /// Computes and returns the logits and phases of a suffix batch.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn connected(&self, plan: &mut Plan, packed: &SuffixBatch) -> Result<Outcomes>;

    /// Runs the teacher-forced pass over whole samples, row u·T + t. Returns logits and phases, and keeps activations.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows) -> Result<Outcomes>;

    /// Computes the gradient of all parameters from the gradients that have overwritten the logits and phases of
    /// [`Autoregressive::forward`]. The result is written `into` the gradient buffer or passed on as gradients of
    /// single samples.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn backward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()>;

    /// Computes the attention weights, averaged over the `samples` samples of [`Autoregressive::forward`]: (H, T, T)
    /// for each layer of [`Model::attention`].
    ///
    /// # Errors
    /// As [`Plan::launch`]; [`ErrorKind::Settings`] if there is no such layer.
    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        let _ = (plan, samples, layers);
        no_attention()
    }
}
