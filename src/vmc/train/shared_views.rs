//! Views of what an application draws: newest samples, densities, correlations, attention weights and energies, which
//! the last launches of every step compute.

use super::optimizer::{Sampling, SamplingPower};
use super::trainer::Trainer;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Plan, View};
use crate::kernels::attention::AttentionWeights;
use crate::kernels::vmc::history::{ENTRY_WORDS, EnergyHistory};
use crate::kernels::vmc::rows::Window;
use crate::kernels::vmc::sites::{SiteCorrelations, SiteOccupations, SiteWords, SitesShape};
use crate::model::AttentionLayers;
use crate::vmc::step::local_energy::LocalEnergyPipeline;

/// Settings of [`Trainer::share`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedConfig {
    /// Usages of the buffers in addition to `STORAGE`, `COPY_SRC` and `COPY_DST`, such as `VERTEX`.
    pub usages: wgpu::BufferUsages,
    /// Maximum number of samples in the average of attention weights; 0 for no attention weights. They take a forward pass
    /// over these samples in every step.
    pub attention_samples: u32,
    /// Number of steps in [`SharedViews::energies`], at least 1.
    pub history: u32,
}

impl Default for SharedConfig {
    /// No additional usages, attention weights of 64 samples, 1024 steps.
    fn default() -> Self {
        Self { usages: wgpu::BufferUsages::empty(), attention_samples: 64, history: 1024 }
    }
}

/// Views of a trainer's newest step. Each is a whole buffer without an offset. The launches at the end of a step write
/// them, so that in every frame each one contains the results of one step; zeros before the first one.
///
/// The buffers outlive the trainer, which no longer writes them then.
#[derive(Debug, Clone)]
pub struct SharedViews {
    /// (B, N) u32: occupations of the newest samples, in site order
    pub samples: View,
    /// (N) f32: mean occupation ⟨n_i⟩ of the samples
    pub densities: View,
    /// (N, N) f32: ⟨n_i n_j⟩ − ⟨n_i⟩⟨n_j⟩ of the samples, 4 times smaller than the same of spins ±1
    pub correlations: View,
    /// (H, T, T) f32 for each layer: attention weights, averaged over the first samples, of the weights after the step;
    /// with stochastic reconfiguration before it. Empty if the wave function has no attention weights that depend on
    /// samples. Rows and columns are those of [`crate::vmc::AttentionMaps`].
    pub attention: Vec<View>,
    /// (history, 4) f32: step number, energy, its variance ⟨|E − Ē|²⟩, mean occupation. The entry of step s is row
    /// (s − 1) mod history.
    pub energies: View,
    /// (parameters) f32: all parameters, in the order of [`crate::model::Layout`]
    pub parameters: View,
}

/// Buffers of the views, which count toward the memory of the device as long as the trainer exists.
pub(super) struct SharedBuffers {
    views: SharedViews,
    _buffers: Vec<Buffer>,
}

impl Trainer {
    /// Adds launches to every later step that compute what an application draws, and returns views of their results on
    /// the device. Energies and weights do not change. The buffers are allocated in addition to [`TrainConfig::memory`].
    ///
    /// Later calls return the same views and ignore `config`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the history is empty or if samples are not drawn from |ψ|², [`ErrorKind::Memory`] if a
    /// buffer exceeds an adapter limit.
    ///
    /// [`TrainConfig::memory`]: crate::vmc::TrainConfig::memory
    pub fn share(&mut self, config: &SharedConfig) -> Result<SharedViews> {
        self.known.check()?;
        if let Some(shared) = &self.shared {
            return Ok(shared.views.clone());
        }
        if config.history == 0 {
            return Err(Error::new(ErrorKind::Settings, "SharedConfig::history is 0; give at least 1"));
        }
        if self.config.sampling == Sampling::FullSum {
            let message = "Trainer::share averages over samples of |psi|^2, and a full sum has none; use Sampling::Own";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let power = match self.config.optimizer.sampling_power() {
            SamplingPower::Fixed(2.0) => None,
            SamplingPower::Fixed(power) => Some(format!("of |psi|^{power}")),
            SamplingPower::Adaptive => Some("of a power of |psi| that changes".into()),
        };
        if let Some(power) = power {
            let message =
                format!("Trainer::share averages over samples of |psi|^2, these are {power}; use sampling_power 2");
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let parameters = self.parameters.values();
        let attention = self.attention.as_ref().filter(|_| config.attention_samples > 0);
        let shared = record(&mut self.plan, &self.pipeline, (attention, parameters), config)?;
        self.gpu.flush()?;
        Ok(self.shared.insert(shared).views.clone())
    }
}

/// Records the launches into `plan`.
fn record(
    plan: &mut Plan,
    pipeline: &LocalEnergyPipeline,
    (attention, parameters): (Option<&AttentionLayers>, View),
    config: &SharedConfig,
) -> Result<SharedBuffers> {
    let gpu = &pipeline.gpu;
    let shape = SitesShape { samples: pipeline.samples, sites: pipeline.patching.sites() as u32 };
    let [b, n, w] = [shape.samples, shape.sites, shape.words()].map(u64::from);
    let buffer = |name: &str, elements: u64| {
        gpu.buffer_with_usages(&format!("ketformer.shared.{name}"), elements, config.usages)
    };
    let occupations = buffer("samples", b * n)?;
    let densities = buffer("densities", n)?;
    let correlations = buffer("correlations", n * n)?;
    let energies = buffer("energies", u64::from(config.history) * u64::from(ENTRY_WORDS))?;
    let places: Vec<u32> = pipeline.patching.patch_of().iter().map(|(patch, bit)| 32 * patch + bit).collect();
    let places = gpu.upload("ketformer.shared.places", &places)?;
    let words = gpu.buffer("ketformer.shared.words", w * n)?;
    plan.scope("share");
    // Slices of frames may divide these launches.
    plan.end_together();
    let sites =
        SiteOccupations { tokens: pipeline.tokens.view(), places: places.view(), occupations: occupations.view() };
    sites.record(plan, shape, pipeline.patches())?;
    SiteWords { occupations: occupations.view(), words: words.view() }.record(plan, shape)?;
    SiteCorrelations { words: words.view(), density: densities.view(), correlation: correlations.view() }
        .record(plan, shape)?;
    let history =
        EnergyHistory { statistics: pipeline.statistics.view(), step: pipeline.step.view(), history: energies.view() };
    history.record(plan, config.history, shape.sites)?;
    let layers: Vec<Buffer> = match attention {
        Some(attention) if attention.relative.is_none() => {
            record_attention(plan, pipeline, attention, config.attention_samples, buffer)?
        }
        _ => Vec::new(),
    };
    let views = SharedViews {
        samples: occupations.view(),
        densities: densities.view(),
        correlations: correlations.view(),
        attention: layers.iter().map(Buffer::view).collect(),
        energies: energies.view(),
        parameters,
    };
    let mut buffers = vec![occupations, densities, correlations, energies, places, words];
    buffers.extend(layers);
    Ok(SharedBuffers { views, _buffers: buffers })
}

/// Records the forward pass over the first samples of the batch and the mean weights of each layer. The pass uses the
/// activations of the gradient pass, which are free at the end of a step.
fn record_attention(
    plan: &mut Plan,
    pipeline: &LocalEnergyPipeline,
    attention: &AttentionLayers,
    most: u32,
    buffer: impl Fn(&str, u64) -> Result<Buffer>,
) -> Result<Vec<Buffer>> {
    let fitting = AttentionWeights::most_samples(attention.head_width).min(pipeline.sizes.training);
    let samples = most.min(pipeline.samples).min(fitting);
    let elements = u64::from(attention.heads) * (attention.patches.len() as u64).pow(2);
    let layers: Vec<Buffer> = (0..attention.layers).map(|_| buffer("attention", elements)).collect::<Result<_>>()?;
    let views: Vec<View> = layers.iter().map(Buffer::view).collect();
    let sample_of = (0..pipeline.samples).collect::<Vec<u32>>();
    let sample_of = pipeline.gpu.upload("ketformer.shared.sample_of", &sample_of)?;
    let patches = pipeline.patches();
    let window = Window { items: samples.into(), first: 0, capacity: samples, samples: pipeline.samples, patches };
    let pass = pipeline.sampler.gradient_pass(pipeline)?;
    pass.forward(plan, &window, &pipeline.tokens, &sample_of)?;
    pipeline.sampler.record_attention(plan, samples, &views)?;
    Ok(layers)
}
