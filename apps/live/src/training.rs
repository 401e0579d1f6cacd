//! Training within frames, and the buffers that lattices are drawn from.

use std::future::Future;
use std::sync::Arc;

use ketformer::gpu::Gpu;
use ketformer::model::{Layout, Weights};
use ketformer::vmc::{Budget, SharedConfig, SharedViews, StepReport, Trainer};
use ketformer::{Error, ErrorKind, Result};

use crate::lattice_view::Scene;
use crate::settings::Settings;

/// A trainer whose steps are recorded into frames.
pub struct Training {
    gpu: Gpu,
    settings: Settings,
    trainer: Trainer,
    layout: Layout,
    views: SharedViews,
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
    /// Records the plan of a step for `settings`, from `weights` or the initial ones.
    ///
    /// # Errors
    /// As [`Trainer::new`], [`Trainer::set_weights`] and [`Trainer::share`].
    pub fn new(
        render: &egui_wgpu::RenderState,
        gpu: &Gpu,
        settings: &Settings,
        weights: Option<&Weights>,
    ) -> Result<Self> {
        let (lattice, model) = (settings.lattice(), settings.model());
        let hamiltonian = settings.couplings.hamiltonian();
        let mut trainer = Trainer::new(gpu, &lattice, &*hamiltonian, &*model, settings.train_config())?;
        if let Some(weights) = weights {
            trainer.set_weights(weights)?;
        }
        let shared = SharedConfig { attention_samples: ATTENTION_SAMPLES, history: 1, ..SharedConfig::default() };
        let views = trainer.share(&shared)?;
        let layers = model.attention(&lattice)?;
        let patches = layers.as_ref().map_or(Vec::new(), |layers| layers.patches.clone());
        Ok(Self {
            gpu: gpu.clone(),
            settings: settings.clone(),
            trainer,
            layout: model.layout(&lattice)?,
            scene: Arc::new(Scene::new(render, lattice, &views, &patches)),
            views,
            attention: layers.map(|layers| [layers.layers, layers.heads]),
            order: patches.concat(),
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.trainer.parameters()
    }

    /// Continues with the couplings of `settings`, without a new trainer.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if something else than the couplings differs; as [`Trainer::set_hamiltonian`].
    pub fn follow(&mut self, settings: &Settings) -> Result<()> {
        let same = Settings { couplings: settings.couplings, ..self.settings.clone() };
        if same != *settings || !self.settings.couplings.is_same_kind(&settings.couplings) {
            return Err(Error::new(ErrorKind::Settings, "these settings need a new trainer"));
        }
        self.trainer.set_hamiltonian(&*settings.couplings.hamiltonian())?;
        self.settings = same;
        Ok(())
    }

    /// Submits what fits into `milliseconds` of the device.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn advance(&mut self, milliseconds: f64) -> Result<()> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.trainer.advance(&mut encoder, Budget::milliseconds(milliseconds))?;
        self.gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    /// Reports of steps that have arrived.
    ///
    /// # Errors
    /// As [`Trainer::poll`].
    pub fn reports(&mut self) -> Result<Vec<StepReport>> {
        std::iter::from_fn(|| self.trainer.poll().transpose()).collect()
    }

    /// Reads the weights after the last submitted step.
    pub fn weights(&self) -> impl Future<Output = Result<Weights>> + 'static {
        let (gpu, view, layout) = (self.gpu.clone(), self.views.parameters.clone(), self.layout.clone());
        async move {
            let flat = view.read_async::<f32>(&gpu, (view.bytes() / 4) as usize).await?;
            Ok(layout.unflatten(&flat))
        }
    }
}
