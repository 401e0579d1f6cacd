//! Attention maps: attention weights of a transformer by layer and head.
//!
//! The teacher-forced pass keeps [q | k | v] and the log-sum-exp of every layer, from which `attention_weights`
//! recomputes the mean weights over samples, (H, T, T). Row i of a causal transformer is the position at which patch i
//! is drawn; column 0 is the start. The weights of factored attention are parameters.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::attention::AttentionWeights;
use crate::model::{AttentionKind, AttentionLayers, Capacity, Parameters, Precision, WaveFunction};
use crate::vmc::state::State;
use crate::vmc::step::budget::halved_until;
use crate::vmc::step::fixed_tokens::FixedTokens;
use crate::vmc::step::kind::gradient_pass;
use crate::vmc::step::sector::check_some_configurations;

/// Attention weights of a wave function.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMaps {
    /// Meaning of rows and columns.
    pub kind: AttentionKind,
    /// Sites of the patch at each of the T positions, in the order of the rows.
    pub patches: Vec<Vec<usize>>,
    /// (T, T) in row-major order, indexed by layer, then head.
    pub layers: Vec<Vec<Vec<f64>>>,
    /// Number of samples in the average; 0 if the weights do not depend on samples.
    pub samples: usize,
}

/// Maximum number of samples per pass.
const CHUNK: usize = 256;

impl State<'_> {
    /// Returns the mean attention weights over `configurations`, such as those of [`State::sample`].
    ///
    /// Factored attention has weights that do not depend on samples, so `configurations` is not used. With large
    /// patches, these are the weights of the transformer over large patches. Returns `None` if the wave function has no
    /// attention.
    ///
    /// # Errors
    /// As [`crate::vmc::Likelihood::new`].
    pub fn attention_maps(&self, configurations: &[Vec<u8>]) -> Result<Option<AttentionMaps>> {
        let Self { lattice, model, weights, .. } = *self;
        model.check(lattice)?;
        let Some(attention) = model.attention(lattice)? else { return Ok(None) };
        let (layers, samples) = match &attention.relative {
            Some(relative) => {
                model.layout(lattice)?.flatten(weights)?;
                let t = attention.patches.len();
                let of_layer =
                    |name: &String| weights.tensors[name].values.chunks(t).map(|head| relative.spread(head)).collect();
                (relative.names.iter().map(of_layer).collect(), 0)
            }
            None => (self.mean_weights(configurations, &attention)?, configurations.len()),
        };
        let AttentionLayers { kind, patches, .. } = attention;
        Ok(Some(AttentionMaps { kind, patches, layers, samples }))
    }

    /// Mean attention weights, (T, T), indexed by layer, then head.
    fn mean_weights(&self, configurations: &[Vec<u8>], attention: &AttentionLayers) -> Result<Vec<Vec<Vec<f64>>>> {
        let Self { gpu, lattice, model, .. } = *self;
        check_some_configurations(model, lattice, configurations)?;
        let patching = model.patching(lattice)?;
        let parameters = self.parameters(Precision::Single)?;
        let most = configurations.len().min(AttentionWeights::most_samples(attention.head_width) as usize);
        let chunk = self.samples_at_once(&parameters, most)?;
        let wave_function = model.network(gpu, lattice, &parameters, Capacity::of_gradient(chunk))?;
        let pass = gradient_pass(gpu, model, &wave_function, &patching, chunk)?;
        let of_head = attention.patches.len().pow(2);
        let layer = |_| gpu.buffer("ketformer.attention.weights", u64::from(attention.heads) * of_head as u64);
        let made: Vec<Buffer> = (0..attention.layers).map(layer).collect::<Result<_>>()?;
        let views: Vec<View> = made.iter().map(Buffer::view).collect();
        let mut sums = vec![vec![vec![0.0; of_head]; attention.heads as usize]; made.len()];
        for part in configurations.chunks(chunk as usize) {
            let given = FixedTokens::new(gpu, &patching, part)?;
            let mut plan = Plan::new(gpu);
            pass.forward(&mut plan, &given.window(), &given.tokens, &given.sample_of)?;
            match &wave_function {
                WaveFunction::Autoregressive(network) => network.attention(&mut plan, part.len() as u32, &views)?,
                WaveFunction::Unnormalized(network) => network.attention(&mut plan, part.len() as u32, &views)?,
            }
            plan.run()?;
            for (layer, sums) in made.iter().zip(&mut sums) {
                let means: Vec<f32> = layer.read(gpu, attention.heads as usize * of_head)?;
                let sums = sums.iter_mut().flatten().zip(means);
                sums.for_each(|(sum, mean)| *sum += f64::from(mean) * part.len() as f64 / configurations.len() as f64);
            }
        }
        Ok(sums)
    }

    /// Number of samples per pass, at most `most`, whose activations fit into half of the memory.
    fn samples_at_once(&self, parameters: &Parameters, most: usize) -> Result<u32> {
        let fits = |samples: u32| {
            let network = |gpu: &Gpu| self.model.network(gpu, self.lattice, parameters, Capacity::of_gradient(samples));
            Ok(self.gpu.dry_run(network)?.bytes <= self.memory() / 2)
        };
        halved_until(most.min(CHUNK) as u32, 1, fits)
    }
}
