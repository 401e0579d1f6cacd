//! Weighted sums of log-probabilities of given configurations: their values, gradients and Adam steps.
//!
//! ```text
//! L(θ) = Σ_b w_b log P_θ(σ_b)
//! ```
//!
//! With w = −1/B this fits a wave function to measured configurations by maximum likelihood; with w = (E_b − Ē)/B its
//! gradient is that of the energy.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows};
use crate::kernels::head::{HeadBackward, HeadForward};
use crate::kernels::optimizer::{Adam, AdamRates};
use crate::kernels::rows::rows_reference;
use crate::model::{Capacity, Model, Parameters, Precision, Weights};
use crate::physics::Lattice;

/// A wave function on given configurations, by the teacher-forced pass.
pub struct Likelihood {
    gpu: Gpu,
    parameters: Parameters,
    forward: Plan,
    backward: Plan,
    update: Plan,
    configurations: usize,
    patches: usize,
    log_p: Buffer,
    weights: Buffer,
    step: Buffer,
}

impl Likelihood {
    /// Builds the passes for `configurations`, each of N occupations in site order.
    ///
    /// # Errors
    /// As [`super::Trainer::new`]; [`ErrorKind::Settings`] where there is no configuration or one of another length.
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        model: &dyn Model,
        weights: &Weights,
        configurations: &[Vec<u8>],
    ) -> Result<Self> {
        model.check(lattice)?;
        let patching = model.patching(lattice)?;
        let sites = lattice.sites();
        if configurations.is_empty() || configurations.iter().any(|c| c.len() != sites || c.iter().any(|n| *n > 1)) {
            let message = format!("give one configuration or more, each of {sites} occupations 0 or 1");
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let parameters = Parameters::new(gpu, model.layout(lattice)?, Precision::Single)?;
        parameters.write(gpu, weights)?;
        let samples = configurations.len() as u32;
        let capacity = Capacity { samples: 1, move_rows: 1, hidden_rows: 64, training_samples: samples };
        let network = model.network(gpu, lattice, &parameters, capacity)?;

        let (t, v) = (patching.patches() as u32, patching.outcomes() as u32);
        let rows = Rows::from(samples * t);
        let descriptions: Vec<u32> =
            configurations.iter().flat_map(|c| rows_reference(&patching.tokens(c), 0)).collect();
        let descriptions = gpu.upload("ketformer.likelihood.rows", &descriptions)?;
        let buffer = |name: &str, elements: u32| gpu.buffer(&format!("ketformer.likelihood.{name}"), elements.into());
        let (log_p, lse, coefficients) =
            (buffer("log_p", rows.most)?, buffer("lse", rows.most)?, buffer("weights", samples)?);

        let mut forward = Plan::new(gpu);
        let logits = network.forward(&mut forward, &descriptions, &rows)?;
        let head =
            HeadForward { rows: descriptions.view(), logits: logits.clone(), log_p: log_p.view(), lse: lse.view() };
        head.record(&mut forward, &rows, v)?;

        let mut backward = Plan::new(gpu);
        let head = HeadBackward { rows: descriptions.view(), lse: lse.view(), d_log_p: coefficients.view(), logits };
        head.record(&mut backward, &rows, v, t, 0)?;
        network.backward(&mut backward, &descriptions, &rows, false)?;

        let elements = parameters.layout().elements();
        let step = buffer("step", 4)?;
        let mut update = Plan::new(gpu);
        let adam = Adam {
            gradient: parameters.gradient(),
            part: gpu.buffer("ketformer.adam.part", Adam::part_elements(elements as u32))?.view(),
            statistics: buffer("statistics", 16)?.view(),
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
            patches: t as usize,
            log_p,
            weights: coefficients,
            step,
        })
    }

    /// log P of each configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn log_p(&self) -> Result<Vec<f64>> {
        self.forward.run()?;
        let rows: Vec<f32> = self.log_p.read(&self.gpu, self.configurations * self.patches)?;
        Ok(rows.chunks(self.patches).map(|row| row.iter().map(|p| f64::from(*p)).sum()).collect())
    }

    /// ∂L/∂θ for the weights w_b `weights`, under the parameters' names.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for another number of weights; as [`Likelihood::log_p`].
    pub fn gradient(&self, weights: &[f32]) -> Result<Weights> {
        if weights.len() != self.configurations {
            let message =
                format!("{} weights for {} configurations; give one each", weights.len(), self.configurations);
            return Err(Error::new(ErrorKind::Settings, message));
        }
        self.weights.write(&self.gpu, weights)?;
        self.forward.run()?;
        self.backward.run()?;
        self.parameters.read_gradient(&self.gpu)
    }

    /// One Adam step down L with the weights `weights`.
    ///
    /// # Errors
    /// As [`Likelihood::gradient`].
    pub fn descend(&self, weights: &[f32], learning_rate: f64) -> Result<()> {
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
