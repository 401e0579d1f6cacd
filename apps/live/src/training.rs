//! Training within frames, and the buffers that lattices are drawn from.

use std::sync::Arc;

use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::vmc::{Budget, Checkpoint, SharedConfig, StepReport, Trainer};

use crate::lattice_view::Scene;
use crate::settings::Settings;
use crate::task::{Task, finished};

/// What a trainer begins with.
#[derive(Debug, Clone, Default)]
pub enum Start {
    /// The initial weights of the seed.
    #[default]
    Initial,
    /// Weights of a file.
    Weights(Weights),
    /// The state of another trainer.
    Checkpoint(Checkpoint),
}

/// A trainer whose steps are recorded into frames.
pub struct Training {
    gpu: Gpu,
    settings: Settings,
    /// `None` while its state is read.
    trainer: Option<Trainer>,
    /// Whether its state is wanted.
    is_asked: bool,
    reading: Option<Task<(Trainer, Result<Checkpoint>)>>,
    /// Number of parameters.
    pub parameters: usize,
    /// What lattices are drawn from.
    pub scene: Arc<Scene>,
    /// Layers and heads; `None` without attention.
    pub attention: Option<[u32; 2]>,
    /// Site that is sampled at each position, if there is attention.
    pub order: Vec<usize>,
}

/// Numbers of samples whose attention weights are averaged.
const ATTENTION_SAMPLES: u32 = 64;

impl Training {
    /// Records the plan of a step for `settings`.
    ///
    /// # Errors
    /// As [`Trainer::new`], [`Trainer::set_weights`], [`Trainer::restore`] and [`Trainer::share`].
    pub fn new(render: &egui_wgpu::RenderState, gpu: &Gpu, settings: &Settings, start: &Start) -> Result<Self> {
        let (lattice, model) = (settings.lattice(), settings.model());
        let hamiltonian = settings.couplings.hamiltonian();
        let mut trainer = Trainer::new(gpu, &lattice, &*hamiltonian, &*model, settings.train_config())?;
        match start {
            Start::Initial => {}
            Start::Weights(weights) => trainer.set_weights(weights)?,
            Start::Checkpoint(checkpoint) => trainer.restore(checkpoint)?,
        }
        let shared = SharedConfig { attention_samples: ATTENTION_SAMPLES, history: 1, ..SharedConfig::default() };
        let views = trainer.share(&shared)?;
        let layers = model.attention(&lattice)?;
        let patches = layers.as_ref().map_or(Vec::new(), |layers| layers.patches.clone());
        Ok(Self {
            gpu: gpu.clone(),
            settings: settings.clone(),
            parameters: trainer.parameters(),
            trainer: Some(trainer),
            is_asked: false,
            reading: None,
            scene: Arc::new(Scene::new(render, lattice, &views, &patches)),
            attention: layers.map(|layers| [layers.layers, layers.heads]),
            order: patches.concat(),
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether only the couplings of `settings` differ, which need no new trainer.
    pub fn takes(&self, settings: &Settings) -> bool {
        let same = Settings { couplings: settings.couplings, ..self.settings.clone() };
        same == *settings && self.settings.couplings.is_same_kind(&settings.couplings)
    }

    /// Continues with the couplings of `settings`, which [`Self::takes`] accepts. Returns whether it could: while the state
    /// is read, a later frame can.
    ///
    /// # Errors
    /// As [`Trainer::set_hamiltonian`].
    pub fn follow(&mut self, settings: &Settings) -> Result<bool> {
        let Some(trainer) = &mut self.trainer else { return Ok(false) };
        trainer.set_hamiltonian(&*settings.couplings.hamiltonian())?;
        self.settings = settings.clone();
        Ok(true)
    }

    /// Submits what fits into `milliseconds` of the device, and returns the reports that have arrived. Begins no step if it
    /// `is_halted`.
    ///
    /// # Errors
    /// As [`Trainer::advance`] and [`Trainer::poll`].
    pub fn work(&mut self, milliseconds: f64, is_halted: bool) -> Result<Vec<StepReport>> {
        let Some(trainer) = &mut self.trainer else { return Ok(Vec::new()) };
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let budget = Budget::milliseconds(milliseconds);
        match is_halted || self.is_asked {
            true => trainer.complete(&mut encoder, budget)?,
            false => trainer.advance(&mut encoder, budget)?,
        };
        self.gpu.queue().submit([encoder.finish()]);
        std::iter::from_fn(|| trainer.poll().transpose()).collect()
    }

    /// Asks for the state after the present step, which [`Self::state`] returns in a later frame.
    pub fn ask(&mut self) {
        self.is_asked = true;
    }

    /// The state that was asked for, once it is there.
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub fn state(&mut self) -> Result<Option<Checkpoint>> {
        if self.is_asked
            && let Some(trainer) = self.trainer.take_if(|trainer| trainer.is_at_rest())
        {
            self.is_asked = false;
            self.reading = Some(Task::new(async move {
                let checkpoint = trainer.checkpoint_async().await;
                (trainer, checkpoint)
            }));
        }
        let Some((trainer, checkpoint)) = finished(&mut self.reading) else { return Ok(None) };
        self.trainer = Some(trainer);
        checkpoint.map(Some)
    }
}
