//! Weighted sums of log-probabilities of fixed configurations: values, gradients and Adam steps.
//!
//! ```text
//! L(θ) = Σ_b w_b log P_θ(σ_b)
//! ```
//!
//! With w = −1/B, minimizing L fits a wave function to measured configurations by maximum likelihood. With
//! w = (E_b − Ē)/B, the gradient of L is that of the energy.
//!
//! For an unnormalized wave function, P means |ψ|²: log P lacks −log Σ |ψ|², which is the same for every configuration.
//! It cancels in L if the weights add up to zero, as those of the energy do. Otherwise [`Likelihood::descend`] returns
//! an error.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan};
use crate::kernels::linear::GradientInto;
use crate::kernels::nn::adam::{Adam, AdamRates};
use crate::kernels::vmc::energy::COLUMNS;
use crate::model::{Capacity, LogPsi, Parameters, Precision, Weights};
use crate::vmc::state::State;
use crate::vmc::step::buffers::read_sums;
use crate::vmc::step::fixed_tokens::FixedTokens;
use crate::vmc::step::gradient_pass::LogPsiCotangent;
use crate::vmc::step::kind::{columns, gradient_pass};
use crate::vmc::step::sector::check_some_configurations;

/// Maximum |Σ w| / Σ |w| of weights whose sum is zero up to rounding.
const DROPS_OUT: f64 = 1e-5;

/// Log-probabilities of fixed configurations and their gradients, by the teacher-forced pass.
pub struct Likelihood {
    gpu: Gpu,
    parameters: Parameters,
    forward: Plan,
    backward: Plan,
    update: Plan,
    configurations: usize,
    normalized: bool,
    /// (configurations, columns)
    log_psi: LogPsi,
    columns: u32,
    weights: LogPsiCotangent,
    step: Buffer,
}

impl Likelihood {
    /// Records the passes for `configurations`, each of N occupations in site order.
    ///
    /// # Errors
    /// As [`crate::vmc::Trainer::new`]; [`ErrorKind::Settings`] if `configurations` is empty, or if one of them has
    /// another length or is outside of the sector of the wave function.
    pub fn new(state: &State<'_>, configurations: &[Vec<u8>]) -> Result<Self> {
        let State { gpu, lattice, model, .. } = *state;
        model.check(lattice)?;
        let patching = model.patching(lattice)?;
        check_some_configurations(model, lattice, configurations)?;
        let parameters = state.parameters(Precision::Single)?;
        let samples = configurations.len() as u32;
        let capacity = Capacity::of_gradient(samples);
        let wave_function = model.network(gpu, lattice, &parameters, capacity)?;

        let given = FixedTokens::new(gpu, &patching, configurations)?;
        let window = given.window();
        let buffer = |name: &str, elements: u32| gpu.buffer(&format!("ketformer.likelihood.{name}"), elements.into());
        let coefficients = LogPsiCotangent::new(gpu, "ketformer.likelihood.weights", samples, model.is_complex())?;
        let pass = gradient_pass(gpu, model, &wave_function, &patching, samples)?;
        let (mut forward, mut backward) = (Plan::new(gpu), Plan::new(gpu));
        let kept = pass.forward(&mut forward, &window, &given.tokens, &given.sample_of)?;
        pass.backward(&mut backward, &window, kept, &coefficients.from(0)?, GradientInto::REPLACE)?;

        let elements = parameters.layout().elements();
        let step = buffer("step", 4)?;
        let mut update = Plan::new(gpu);
        let adam = Adam {
            gradient: parameters.gradient(),
            part: gpu.buffer("ketformer.adam.part", Adam::part_elements(elements as u32))?.view(),
            statistics: buffer("statistics", 2 * COLUMNS)?.view(),
            state: gpu.upload("ketformer.adam.state", &[1f32, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])?.view(),
            step: step.view(),
            parameters: parameters.values(),
            m: gpu.buffer("ketformer.adam.m", elements)?.view(),
            v: gpu.buffer("ketformer.adam.v", elements)?.view(),
        };
        adam.record(&mut update, elements as u32, None, AdamRates::default())?;
        Ok(Self {
            gpu: gpu.clone(),
            parameters,
            forward,
            backward,
            update,
            configurations: configurations.len(),
            normalized: model.chains().is_none(),
            log_psi: pass.log_psi(),
            columns: columns(model, &patching),
            weights: coefficients,
            step,
        })
    }

    /// Whether [`Likelihood::log_p`] is that of probabilities that add up to 1.
    pub fn is_normalized(&self) -> bool {
        self.normalized
    }

    /// Returns log P of each configuration; log |ψ|² if the wave function is unnormalized.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub fn log_p(&self) -> Result<Vec<f64>> {
        self.gpu.block_on(self.log_p_async())
    }

    /// As [`Likelihood::log_p`], without blocking.
    ///
    /// # Errors
    /// As [`Likelihood::log_p`].
    pub async fn log_p_async(&self) -> Result<Vec<f64>> {
        self.forward.run_async().await?;
        read_sums(&self.gpu, &self.log_psi.log_p, self.configurations, self.columns).await
    }

    /// Returns the phase of each configuration in radians; zeros if the wave function is real.
    ///
    /// # Errors
    /// As [`Likelihood::log_p`].
    pub fn phase(&self) -> Result<Vec<f64>> {
        let Some(phase) = &self.log_psi.phase else { return Ok(vec![0.0; self.configurations]) };
        self.forward.run()?;
        self.gpu.block_on(read_sums(&self.gpu, phase, self.configurations, self.columns))
    }

    /// Returns ∂L/∂θ for the weights w_b `weights`, by parameter name. Phases do not contribute.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the number of weights is not that of the configurations; as [`Likelihood::log_p`].
    pub fn gradient(&self, weights: &[f32]) -> Result<Weights> {
        self.gradient_of_log_psi(weights, &vec![0.0; if self.log_psi.phase.is_some() { weights.len() } else { 0 }])
    }

    /// Returns ∂/∂θ of Σ_b w_b log P_θ(σ_b) + v_b phase_θ(σ_b) for the weights w_b `weights` and v_b `phase_weights`.
    /// `phase_weights` must be empty if the wave function is real.
    ///
    /// # Errors
    /// As [`Likelihood::gradient`].
    pub fn gradient_of_log_psi(&self, weights: &[f32], phase_weights: &[f32]) -> Result<Weights> {
        let phases = if self.log_psi.phase.is_some() { self.configurations } else { 0 };
        for (given, wanted, of) in [(weights, self.configurations, ""), (phase_weights, phases, " of phases")] {
            if given.len() != wanted {
                let message = format!("{} weights{of} for {wanted} configurations; give one each", given.len());
                return Err(Error::new(ErrorKind::Settings, message));
            }
        }
        self.weights.write(&self.gpu, weights, phase_weights)?;
        self.forward.run()?;
        self.backward.run()?;
        self.parameters.read_gradient(&self.gpu)
    }

    /// Takes one Adam step that decreases L with the weights `weights`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the wave function is unnormalized and the weights do not add up to zero; as
    /// [`Likelihood::gradient`].
    pub fn descend(&self, weights: &[f32], learning_rate: f64) -> Result<()> {
        let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let size: f64 = weights.iter().map(|w| f64::from(w.abs())).sum();
        if !self.normalized && sum.abs() > DROPS_OUT * size {
            let message = format!(
                "weights of an unnormalized wave function must have the sum 0, got {sum}; give weights such as \
                 (E - mean)/B, or use an autoregressive wave function"
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        self.gradient(weights)?;
        self.step.write(&self.gpu, &[0, 0, 0, (learning_rate as f32).to_bits()])?;
        self.update.run()
    }

    /// Returns the parameters.
    ///
    /// # Errors
    /// As [`Likelihood::log_p`].
    pub fn weights(&self) -> Result<Weights> {
        self.parameters.read(&self.gpu)
    }

    /// Replaces the parameters.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if they do not fit the model.
    pub fn set_weights(&self, weights: &Weights) -> Result<()> {
        self.parameters.write(&self.gpu, weights)
    }
}
