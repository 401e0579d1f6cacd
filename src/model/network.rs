//! What a wave function must be able to do on a device.

use std::sync::Arc;

use super::{AttentionLayers, Layout, Metropolis, Parameters, Precision};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::metropolis::Stream;
use crate::kernels::nested::LargeTables;
use crate::kernels::rows::Window;
use crate::physics::{Lattice, Patching};

/// How much a network must have room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Samples decoded together, whose keys and values stay for the moves; also Markov chains that move together.
    pub samples: u32,
    /// Rows of one pass over moves.
    pub move_rows: u32,
    /// Rows of the widest intermediate that passes without gradient hold at a time.
    pub hidden_rows: u32,
    /// Samples of one teacher-forced pass with gradient; 0 where none is wanted.
    pub training_samples: u32,
}

impl Capacity {
    /// For passes with gradient over `samples` samples, and next to nothing else.
    pub const fn of_gradient(samples: u32) -> Self {
        Self { samples: 1, move_rows: 1, hidden_rows: 64, training_samples: samples }
    }
}

/// Four-byte elements that a network takes for each unit of its capacity, and its widest buffers per unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Elements for each sample decoded, and of the widest buffer among them.
    pub sample: [u64; 2],
    /// Elements for each row of moves, and of the widest buffer among them. Of a wave function that is not normalised a row
    /// is a configuration that a move leads to; 0 where ratios need no pass.
    pub move_row: [u64; 2],
    /// Elements for each hidden row, in one buffer; 0 where the hidden layer stays on chip.
    pub hidden_row: u64,
    /// Elements for each training sample, and of the widest buffer among them.
    pub training_sample: [u64; 2],
    /// Elements for each block of the sums over rows in the pass with gradient: the widest weight with its bias.
    pub training_block: u64,
    /// Elements that do not depend on the capacity, such as tables of positions.
    pub fixed: u64,
}

/// Words of a row's description where a patch is one token: token before, position, target, sites occupied before.
pub(super) const DESCRIPTION: u32 = 4;

/// A batch of packed rows of moves over the samples decoded before.
#[derive(Debug, Clone)]
pub struct Packed {
    /// (rows) of four u32: token before, position, target, sites occupied before
    pub descriptions: View,
    /// The distinct samples of the batch.
    pub items: Rows,
    /// First of them.
    pub first_item: u32,
    /// Rows of each, R.
    pub rows_per_item: u32,
    /// (R) of two u32: first position that the row's move changes the input of, position
    pub row_table: View,
    /// The same on the host.
    pub positions: Arc<[[u32; 2]]>,
    /// (B) u32: sample of each distinct sample
    pub sample_of: View,
    /// (B, T) u32: what was drawn
    pub tokens: View,
    /// The rows of large patches among them, where the lattice is cut into such.
    pub large: Option<Arc<LargeRows>>,
}

/// [`LargeTables`] on a device.
#[derive(Debug)]
pub struct LargeRows {
    /// R_L, rows of each item; may be 0.
    pub per_item: u32,
    /// (R_L) of four u32
    pub rows: Buffer,
    /// (R_L) of two u32
    pub row_table: Buffer,
    /// (R) u32
    pub condition_of: Buffer,
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
            condition_of: gpu.upload("ketformer.large.condition_of", &tables.condition_of)?,
        })
    }

    /// Elements of R_L such rows and the R rows that they are among.
    pub fn elements(large: u64, rows: u64) -> u64 {
        6 * large + rows
    }
}

/// A wave function as a description, without a device.
pub trait Model: Send + Sync {
    /// Its name on the command line, as in `--ptf`.
    fn name(&self) -> &'static str;

    /// How it cuts the lattice into what is drawn at once.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn patching(&self, lattice: &Lattice) -> Result<Patching>;

    /// Whether its settings make sense on `lattice`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Settings`], with what to change.
    fn check(&self, lattice: &Lattice) -> Result<()>;

    /// Whether ψ has a phase, log ψ = ½ log P + i·phase; else it is real and positive, ψ = √P.
    fn is_complex(&self) -> bool {
        false
    }

    /// Whether it is over the configurations of half of the sites occupied alone. The Hamiltonian must then consist of
    /// exchanges.
    fn keeps_excitations(&self) -> bool {
        false
    }

    /// The Markov chains that sample it, where it is not normalised; `None` where it is drawn patch after patch.
    fn chains(&self) -> Option<&Metropolis> {
        None
    }

    /// The layers of its attention; `None` where it has none.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn attention(&self, lattice: &Lattice) -> Result<Option<AttentionLayers>> {
        let _ = lattice;
        Ok(None)
    }

    /// Rows of a sample in the pass with gradient, whose sums over rows go by blocks of whole samples: a patch is one where
    /// passes go over patches.
    fn training_rows(&self, patching: &Patching) -> u32 {
        if self.chains().is_some() { 1 } else { patching.patches() as u32 }
    }

    /// Its parameters.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn layout(&self, lattice: &Lattice) -> Result<Layout>;

    /// Elements per unit of capacity on `gpu`, two of f16 counting as one.
    ///
    /// # Errors
    /// As [`Model::check`].
    fn needs(&self, gpu: &Gpu, lattice: &Lattice, precision: Precision) -> Result<Needs>;

    /// Its passes on a device, with buffers for `capacity`, in the precision of `parameters`.
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

/// What a wave function becomes on a device. Both kinds own their buffers; every method records kernels on a plan.
pub enum WaveFunction {
    /// Normalised by construction, P(σ) = Π_t P(patch_t | earlier patches), and drawn patch after patch.
    Autoregressive(Box<dyn Network>),
    /// Known up to a factor, and sampled by Markov chains ([`Model::chains`]).
    Unnormalised(Box<dyn Unnormalised>),
}

impl<N: Network + 'static> From<N> for WaveFunction {
    fn from(network: N) -> Self {
        Self::Autoregressive(Box::new(network))
    }
}

/// Markov chains of which a window goes on together.
#[derive(Debug, Clone)]
pub struct ChainWindow {
    /// (chains, T) u32: where each chain stands
    pub state: View,
    /// (chains) u32: proposals that each accepted
    pub accepted: View,
    /// (B, T) u32: samples
    pub tokens: View,
    /// (4) u32: seed (2), step number, learning rate
    pub step: View,
    /// All chains.
    pub all: u32,
    /// First chain of the window.
    pub first: u32,
    /// Chains of the window.
    pub chains: u32,
    /// B
    pub samples: u32,
    /// p: chains go to configurations as often as |ψ|^p says; 2 for samples of the wave function.
    pub power: f32,
}

/// How far chains go.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Number of the first proposal within the step; acceptance is counted anew where it is 0.
    pub first: u32,
    /// Proposals of each chain.
    pub proposals: u32,
    /// What they are for.
    pub stream: Stream,
    /// The sample in which chain 0 leaves its last configuration, chain 1 in the next, as far as there are samples.
    pub record: Option<u32>,
}

/// log ψ of samples, as numbers that add up to it: (samples, columns), one column for each patch where the wave function is
/// autoregressive, else one.
#[derive(Debug, Clone)]
pub struct LogPsi {
    /// What adds up to log P = log |ψ|².
    pub log_p: View,
    /// What adds up to the phase, in radians; `None` where ψ is real and positive.
    pub phase: Option<View>,
}

/// The gradient of a number by log ψ of each sample.
#[derive(Debug, Clone)]
pub struct LogPsiGradient {
    /// (samples), by log P = log |ψ|²
    pub d_log_p: View,
    /// (samples), by the phase; `None` where ψ is real and positive.
    pub d_phase: Option<View>,
    /// The element of both that belongs to the first sample.
    pub first: u32,
}

/// What an autoregressive network says of rows: (rows, V) each.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// Logarithms of the outcomes' probabilities, up to a constant for each row.
    pub logits: View,
    /// Phases of the outcomes, in radians; `None` where ψ is real and positive.
    pub phases: Option<View>,
}

impl From<View> for Outcomes {
    /// Of a real wave function.
    fn from(logits: View) -> Self {
        Self { logits, phases: None }
    }
}

/// The moves of a window of distinct samples.
#[derive(Debug, Clone)]
pub struct ConnectedMoves {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32: sample of each distinct sample
    pub sample_of: View,
    /// (moves) of four u32: first patch, mask, second patch or `u32::MAX`, mask
    pub moves: View,
    /// (moves) of two u32: not read, condition
    pub starts: View,
    /// (B, moves, parts)
    pub ratio: View,
    /// 1 where the wave function is real, else 2: a logarithm and a phase.
    pub parts: u32,
    /// How many moves.
    pub count: u32,
    /// Whether some change two sites.
    pub pairs: bool,
    /// (1) u32 among `counters`, for a wave function that counts rows of its own.
    pub total: View,
    /// The counters that the grids of live launches follow, see [`Plan::resolve_grids`].
    pub counters: View,
}

/// The passes of a wave function that is known up to a factor.
pub trait Unnormalised {
    /// Prepares a window of chains to go on from where they stand.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn begin(&self, plan: &mut Plan, chains: &ChainWindow) -> Result<()>;

    /// Moves a window of chains that [`Unnormalised::begin`] prepared.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn advance(&self, plan: &mut Plan, chains: &ChainWindow, stretch: &Stretch) -> Result<()>;

    /// log ψ of the first `samples` samples of `tokens` (B, T) into `log_psi`, and what their moves need.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn amplitudes(&self, plan: &mut Plan, tokens: &View, samples: u32, log_psi: &LogPsi) -> Result<()>;

    /// log ψ(σ')/ψ(σ) of the moves of distinct samples whose amplitudes were computed before.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn ratios(&self, plan: &mut Plan, window: &Window, connected: &ConnectedMoves) -> Result<()>;

    /// log ψ of a window of distinct samples, with what the gradient needs kept: `tokens` (B, T) and `sample_of` (B) into
    /// `log_psi`.
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

    /// The gradient of all parameters from that of log ψ of each sample, whose first is the window's first. It
    /// goes `into` the gradient buffer, or to who takes the gradients of single samples.
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

    /// The weights of attention, mean over the `samples` samples of [`Unnormalised::forward`]: (H, T, T) for each layer of
    /// [`Model::attention`] that depends on them.
    ///
    /// # Errors
    /// As [`Plan::launch`]; [`ErrorKind::Settings`] where there is no such layer.
    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        let _ = (plan, samples, layers);
        no_attention()
    }
}

/// What a wave function without attention says.
pub(super) fn no_attention() -> Result<()> {
    let message = "attention: no layer of this wave function looks elsewhere by its samples; take a ptf, an lptf or a vit \
                   with attention=softmax";
    Err(Error::new(ErrorKind::Settings, message))
}

/// The passes of an autoregressive wave function.
pub trait Network {
    /// Computes the logits of patch `t` of all samples from the rows (token before, t, …), and keeps the keys and values.
    /// `tokens`, (samples, T) u32, are those before.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn decode(&self, plan: &mut Plan, rows: &View, tokens: &View, t: u32) -> Result<()>;

    /// (samples, T, V): the logits that decoding made, and the phases.
    fn decoded(&self) -> Outcomes;

    /// Computes logits and phases of packed rows of moves, and returns them.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn moves(&self, plan: &mut Plan, packed: &Packed) -> Result<Outcomes>;

    /// The teacher-forced pass over whole samples, row u·T + t; returns logits and phases, and keeps activations.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows) -> Result<Outcomes>;

    /// The gradient of all parameters, from those that stand in place of logits and phases of [`Network::forward`].
    /// It goes `into` the gradient buffer, or to who takes the gradients of single samples.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn backward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()>;

    /// The weights of attention, mean over the `samples` samples of [`Network::forward`]: (H, T, T) for each layer of
    /// [`Model::attention`].
    ///
    /// # Errors
    /// As [`Plan::launch`]; [`ErrorKind::Settings`] where there is no such layer.
    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        let _ = (plan, samples, layers);
        no_attention()
    }
}
