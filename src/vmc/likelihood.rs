//! Weighted sums of log-probabilities of given configurations: their values, gradients and Adam steps.
//!
//! ```text
//! L(θ) = Σ_b w_b log P_θ(σ_b)
//! ```
//!
//! With w = −1/B this fits a wave function to measured configurations by maximum likelihood; with w = (E_b − Ē)/B its
//! gradient is that of the energy.
//!
//! Of a wave function that is known up to a factor, P stands for ψ² here: log P misses −log Σ ψ², the same for every
//! configuration, which drops out of L where the weights add up to zero, as those of the energy do. Elsewhere there is no
//! step down L.

use super::estimator::read_sums;
use super::given_tokens::GivenTokens;
use super::gradient::{Weighting, gradient_pass};
use super::sampler::columns;
use super::sector::check_some_configurations;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan};
use crate::kernels::energy::COLUMNS;
use crate::kernels::linear::GradientInto;
use crate::kernels::optimizer::{Adam, AdamRates};
use crate::model::{Capacity, LogPsi, Model, Parameters, Precision, Weights};
use crate::physics::Lattice;

/// Sum of weights, over the sum of their sizes, that rounding leaves of zero.
const DROPS_OUT: f64 = 1e-5;

/// A wave function on given configurations, by the teacher-forced pass.
pub struct Likelihood {
    gpu: Gpu,
    parameters: Parameters,
    forward: Plan,
    backward: Plan,
    update: Plan,
    configurations: usize,
    normalised: bool,
    /// (configurations, columns)
    log_psi: LogPsi,
    columns: u32,
    weights: Weighting,
    step: Buffer,
}

impl Likelihood {
    /// Builds the passes for `configurations`, each of N occupations in site order.
    ///
    /// # Errors
    /// As [`super::Trainer::new`]; [`ErrorKind::Settings`] where there is no configuration, one of another length, or one
    /// that the wave function is not over.
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        model: &dyn Model,
        weights: &Weights,
        configurations: &[Vec<u8>],
    ) -> Result<Self> {
        model.check(lattice)?;
        let patching = model.patching(lattice)?;
        check_some_configurations(model, lattice, configurations)?;
        let parameters = Parameters::new(gpu, model.layout(lattice)?, Precision::Single)?;
        parameters.write(gpu, weights)?;
        let samples = configurations.len() as u32;
        let capacity = Capacity::of_gradient(samples);
        let wave_function = model.network(gpu, lattice, &parameters, capacity)?;

        let given = GivenTokens::new(gpu, &patching, configurations)?;
        let window = given.window();
        let buffer = |name: &str, elements: u32| gpu.buffer(&format!("ketformer.likelihood.{name}"), elements.into());
        let coefficients = Weighting::new(gpu, "ketformer.likelihood.weights", samples, model.is_complex())?;
        let pass = gradient_pass(gpu, model, &wave_function, &patching, samples)?;
        let (mut forward, mut backward) = (Plan::new(gpu), Plan::new(gpu));
        let kept = pass.forward(&mut forward, &window, &given.tokens, &given.sample_of)?;
        pass.backward(&mut backward, &window, kept, &coefficients.from(0)?, GradientInto::ANEW)?;

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
            first: gpu.buffer("ketformer.adam.first", elements)?.view(),
            second: gpu.buffer("ketformer.adam.second", elements)?.view(),
        };
        adam.record(&mut update, elements as u32, None, AdamRates::default())?;
        Ok(Self {
            gpu: gpu.clone(),
            parameters,
            forward,
            backward,
            update,
            configurations: configurations.len(),
            normalised: model.chains().is_none(),
            log_psi: pass.log_psi(),
            columns: columns(model, &patching),
            weights: coefficients,
            step,
        })
    }

    /// Whether [`Likelihood::log_p`] is that of probabilities which add up to one.
    pub fn is_normalised(&self) -> bool {
        self.normalised
    }

    /// log P of each configuration; log ψ² where the wave function is known up to a factor.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn log_p(&self) -> Result<Vec<f64>> {
        self.forward.run()?;
        read_sums(&self.gpu, &self.log_psi.log_p, self.configurations, self.columns)
    }

    /// The phase of each configuration in radians, zeros where the wave function is real.
    ///
    /// # Errors
    /// As [`Likelihood::log_p`].
    pub fn phase(&self) -> Result<Vec<f64>> {
        let Some(phase) = &self.log_psi.phase else { return Ok(vec![0.0; self.configurations]) };
        self.forward.run()?;
        read_sums(&self.gpu, phase, self.configurations, self.columns)
    }

    /// ∂L/∂θ for the weights w_b `weights`, under the parameters' names. Phases have no part in it.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for another number of weights; as [`Likelihood::log_p`].
    pub fn gradient(&self, weights: &[f32]) -> Result<Weights> {
        self.gradient_of_log_psi(weights, &vec![0.0; if self.log_psi.phase.is_some() { weights.len() } else { 0 }])
    }

    /// ∂/∂θ of Σ_b w_b log P_θ(σ_b) + v_b phase_θ(σ_b) for the weights `weights` and `phase_weights`, of which there are none
    /// where the wave function is real.
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

    /// One Adam step down L with the weights `weights`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for weights that do not add up to zero where the wave function is known up to a factor; as
    /// [`Likelihood::gradient`].
    pub fn descend(&self, weights: &[f32], learning_rate: f64) -> Result<()> {
        let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let size: f64 = weights.iter().map(|w| f64::from(w.abs())).sum();
        if !self.normalised && sum.abs() > DROPS_OUT * size {
            let message = format!(
                "weights that add up to {sum} ask for the normalisation of a wave function that is known up to a factor; \
                 give weights of sum 0, as (E - mean)/B, or an autoregressive wave function"
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        self.gradient(weights)?;
        self.step.write(&self.gpu, &[0, 0, 0, (learning_rate as f32).to_bits()])?;
        self.update.run()
    }

    /// The parameters.
    ///
    /// # Errors
    /// As [`Likelihood::log_p`].
    pub fn weights(&self) -> Result<Weights> {
        self.parameters.read(&self.gpu)
    }

    /// Replaces the parameters.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when they do not fit.
    pub fn set_weights(&self, weights: &Weights) -> Result<()> {
        self.parameters.write(&self.gpu, weights)
    }
}
