//! Restricted Boltzmann machine on a device: chains, amplitudes, amplitude ratios and gradient.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{
    Extra, GradientInto, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
};
use crate::kernels::rbm::amplitude::{RbmAmplitude, RbmRatio, RbmShape, RbmSlopes};
use crate::kernels::rbm::sweep::{RbmSweep, SweepShape};
use crate::kernels::vmc::rows::Window;
use crate::kernels::vmc::spins::RowsSpins;
use crate::model::{
    Capacity, ChainWindow, ConnectedMoves, LogPsi, LogPsiGradient, Metropolis, Parameters, Proposal, SampleRows,
    Stretch, Unnormalized,
};

/// Names of the parameters.
pub(super) const VISIBLE_BIAS: &str = "visible_bias";
pub(super) const KERNEL: &str = "Dense.kernel";
pub(super) const HIDDEN_BIAS: &str = "Dense.bias";

/// Visible bias (N), kernel (N, M), hidden bias (M).
struct Values {
    visible_bias: View,
    kernel: View,
    hidden_bias: View,
}

/// Spins and activations of rows.
struct Activations {
    /// (rows, N)
    spins: Buffer,
    /// (rows, M)
    theta: Buffer,
}

impl Activations {
    fn new(gpu: &Gpu, name: &str, shape: &RbmShape, rows: u32) -> Result<Self> {
        let buffer = |of: &str, width: u32| {
            gpu.buffer(&format!("ketformer.rbm.{name}.{of}"), u64::from(rows) * u64::from(width))
        };
        Ok(Self { spins: buffer("spins", shape.sites)?, theta: buffer("theta", shape.hidden)? })
    }

    /// Records θ of the rows of `window`.
    fn record(
        &self,
        plan: &mut Plan,
        shape: &RbmShape,
        values: &Values,
        window: &Window,
        (tokens, sample_of): (&View, Option<&View>),
    ) -> Result<()> {
        let spins = RowsSpins { tokens: tokens.clone(), sample_of: sample_of.cloned(), spins: self.spins.view() };
        spins.record(plan, window, shape.sites_per_patch)?;
        let product = LinearProduct {
            x: self.spins.view(),
            weight: values.kernel.clone(),
            bias: Some(values.hidden_bias.clone()),
            extra: Extra::None,
            y: self.theta.view(),
        };
        // The kernel is (inputs, outputs), the weight layout of a backward product.
        product.record(plan, &LinearShape::backward(window.items.clone(), shape.sites, shape.hidden))
    }

    fn amplitude(&self, plan: &mut Plan, shape: &RbmShape, values: &Values, rows: &Rows, log_p: &View) -> Result<()> {
        let amplitude = RbmAmplitude {
            spins: self.spins.view(),
            theta: self.theta.view(),
            visible_bias: values.visible_bias.clone(),
            log_p: log_p.clone(),
        };
        amplitude.record(plan, rows, shape)
    }
}

/// Activations of the training pass, and the scratch of its gradient.
struct Training {
    activations: Activations,
    /// (rows)
    slope: Buffer,
    /// Blocks of parameter gradients.
    part: Buffer,
}

/// Restricted Boltzmann machine with the buffers of its passes.
pub(crate) struct RbmNetwork {
    shape: RbmShape,
    exchange: bool,
    /// Parameters for sampling and amplitude ratios.
    sampled: Values,
    /// Parameters for the training pass.
    values: Values,
    gradients: Values,
    /// Activations of a group of samples, or of a window of chains.
    group: Activations,
    group_samples: u32,
    training: Option<Training>,
}

impl RbmNetwork {
    pub(crate) fn new(
        gpu: &Gpu,
        shape: RbmShape,
        metropolis: &Metropolis,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<Self> {
        let values = |of: &dyn Fn(&str) -> Result<View>| {
            Ok(Values { visible_bias: of(VISIBLE_BIAS)?, kernel: of(KERNEL)?, hidden_bias: of(HIDDEN_BIAS)? })
        };
        let training = |samples: u32| {
            let widest = (u64::from(shape.hidden) + 1) * u64::from(shape.sites);
            Ok(Training {
                activations: Activations::new(gpu, "training", &shape, samples)?,
                slope: gpu.buffer("ketformer.rbm.training.slope", samples.into())?,
                part: parameters.gradient_scratch(gpu, widest, SampleRows { samples, rows_per_sample: 1 })?,
            })
        };
        Ok(Self {
            exchange: metropolis.proposal == Proposal::Exchange,
            sampled: values(&|name| parameters.sampled(name))?,
            values: values(&|name| parameters.value(name))?,
            gradients: values(&|name| parameters.gradient_of(name))?,
            group: Activations::new(gpu, "group", &shape, capacity.samples)?,
            group_samples: capacity.samples,
            training: (capacity.training_samples > 0).then(|| training(capacity.training_samples)).transpose()?,
            shape,
        })
    }

    fn training(&self) -> Result<&Training> {
        let message = "rbm: the network was made without room for gradients; give it training_samples";
        self.training.as_ref().ok_or_else(|| crate::error::Error::new(crate::error::ErrorKind::Shape, message))
    }
}

/// Window of `samples` samples, from sample `first` of `all`.
fn whole(samples: u32, first: u32, all: u32, shape: &RbmShape) -> Window {
    Window { items: samples.into(), first, capacity: samples, samples: all, patches: shape.patches() }
}

impl Unnormalized for RbmNetwork {
    fn begin(&self, plan: &mut Plan, chains: &ChainWindow) -> Result<()> {
        let window = whole(chains.chains, chains.first, chains.all, &self.shape);
        self.group.record(plan, &self.shape, &self.sampled, &window, (&chains.state, None))
    }

    fn reset(&self, _: &Gpu) -> Result<()> {
        Ok(())
    }

    fn advance(&self, plan: &mut Plan, chains: &ChainWindow, stretch: &Stretch) -> Result<()> {
        let sweep = RbmSweep {
            weight: self.sampled.kernel.clone(),
            visible_bias: self.sampled.visible_bias.clone(),
            step: chains.step.clone(),
            theta: self.group.theta.view(),
            state: chains.state.clone(),
            accepted: chains.accepted.clone(),
            tokens: chains.tokens.clone(),
        };
        let shape = SweepShape {
            rbm: self.shape,
            all: chains.all,
            first_chain: chains.first,
            chains: chains.chains,
            proposals: stretch.proposals,
            first_proposal: stretch.first,
            stream: stretch.stream,
            exchange: self.exchange,
            restart: stretch.first == 0,
            record: stretch.record,
            samples: chains.samples,
            stage: chains.stage,
        };
        sweep.record(plan, &shape)
    }

    fn amplitudes(&self, plan: &mut Plan, tokens: &View, samples: u32, log_psi: &LogPsi) -> Result<()> {
        let window = whole(samples, 0, samples, &self.shape);
        self.group.record(plan, &self.shape, &self.sampled, &window, (tokens, None))?;
        self.group.amplitude(plan, &self.shape, &self.sampled, &window.items, &log_psi.log_p)
    }

    fn ratios(&self, plan: &mut Plan, window: &Window, connected: &ConnectedMoves) -> Result<()> {
        debug_assert!(window.samples <= self.group_samples);
        let ratio = RbmRatio {
            tokens: connected.tokens.clone(),
            sample_of: connected.sample_of.clone(),
            theta: self.group.theta.view(),
            weight: self.sampled.kernel.clone(),
            visible_bias: self.sampled.visible_bias.clone(),
            moves: connected.moves.clone(),
            starts: connected.starts.clone(),
            ratio: connected.ratio.clone(),
        };
        ratio.record(plan, window, &self.shape, connected.count, connected.pairs)
    }

    fn forward(
        &self,
        plan: &mut Plan,
        window: &Window,
        tokens: &View,
        sample_of: &View,
        log_psi: &LogPsi,
    ) -> Result<()> {
        let activations = &self.training()?.activations;
        activations.record(plan, &self.shape, &self.values, window, (tokens, Some(sample_of)))?;
        activations.amplitude(plan, &self.shape, &self.values, &window.items, &log_psi.log_p)
    }

    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()> {
        let Training { activations, slope, part } = self.training()?;
        let RbmShape { sites, hidden, .. } = self.shape;
        let rows = &window.items;
        let slopes = RbmSlopes {
            d_log_p: d_log_psi.d_log_p.clone(),
            spins: activations.spins.view(),
            theta: activations.theta.view(),
            slope: slope.view(),
        };
        slopes.record(plan, rows, &self.shape, d_log_psi.first)?;
        let sums = GradientSums::new(part.view(), into);
        let gradient = |plan: &mut Plan, d_y: &View, d_weight: &View, d_bias: Option<&View>, outputs: u32| {
            let (x, d_y) = (activations.theta.view(), d_y.clone());
            let gradient = LinearGradient { x, d_y, d_weight: d_weight.clone(), d_bias: d_bias.cloned() };
            gradient.record(plan, &GradientShape { rows: rows.clone(), inputs: hidden, outputs }, &sums)
        };
        let Values { visible_bias, kernel, hidden_bias } = &self.gradients;
        // The visible bias acts as the bias of the transposed kernel.
        gradient(plan, &activations.spins, kernel, Some(visible_bias), sites)?;
        gradient(plan, slope, hidden_bias, None, 1)?;
        sums.finish(plan)
    }
}
