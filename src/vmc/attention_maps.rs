//! Where a transformer looks: the weights of its attention, by layer and head.

use super::given_tokens::GivenTokens;
use super::gradient::gradient_pass;
use super::sector::check_some_configurations;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::attention::AttentionWeights;
use crate::model::{AttentionKind, AttentionLayers, Capacity, Model, Parameters, Precision, WaveFunction, Weights};
use crate::physics::Lattice;

/// The weights of attention of a wave function.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMaps {
    /// What rows and columns are.
    pub kind: AttentionKind,
    /// The sites of each position's patch, T of them, in the order of the rows.
    pub patches: Vec<Vec<usize>>,
    /// By layer, then head: (T, T), row after row.
    pub layers: Vec<Vec<Vec<f64>>>,
    /// Samples that were averaged over; 0 where weights do not depend on them.
    pub samples: usize,
}

/// Samples that go through the passes together at most.
const CHUNK: usize = 256;

/// The mean weights of attention over `configurations`, such as those of [`super::sample()`]; of factored attention those
/// that it has without any. Of nested patches they are the weights of the transformer over large patches. `None` where the
/// wave function has no attention.
///
/// # Errors
/// As [`super::Likelihood::new`].
pub fn attention_maps(
    gpu: &Gpu,
    lattice: &Lattice,
    model: &dyn Model,
    weights: &Weights,
    configurations: &[Vec<u8>],
) -> Result<Option<AttentionMaps>> {
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
        None => (mean_weights(gpu, lattice, model, weights, configurations, &attention)?, configurations.len()),
    };
    let AttentionLayers { kind, patches, .. } = attention;
    Ok(Some(AttentionMaps { kind, patches, layers, samples }))
}

/// By layer, then head: (T, T).
fn mean_weights(
    gpu: &Gpu,
    lattice: &Lattice,
    model: &dyn Model,
    weights: &Weights,
    configurations: &[Vec<u8>],
    attention: &AttentionLayers,
) -> Result<Vec<Vec<Vec<f64>>>> {
    check_some_configurations(model, lattice, configurations)?;
    let patching = model.patching(lattice)?;
    let parameters = Parameters::new(gpu, model.layout(lattice)?, Precision::Single)?;
    parameters.write(gpu, weights)?;
    let chunk = samples_at_once(gpu, lattice, model, attention)?.min(configurations.len());
    let wave_function = model.network(gpu, lattice, &parameters, Capacity::of_gradient(chunk as u32))?;
    let pass = gradient_pass(gpu, model, &wave_function, &patching, chunk as u32)?;
    let of_head = attention.patches.len().pow(2);
    let layer = |_| gpu.buffer("ketformer.attention.weights", u64::from(attention.heads) * of_head as u64);
    let made: Vec<Buffer> = (0..attention.layers).map(layer).collect::<Result<_>>()?;
    let views: Vec<View> = made.iter().map(Buffer::view).collect();
    let mut sums = vec![vec![vec![0.0; of_head]; attention.heads as usize]; made.len()];
    for part in configurations.chunks(chunk) {
        let given = GivenTokens::new(gpu, &patching, part)?;
        let mut plan = Plan::new(gpu);
        pass.forward(&mut plan, &given.window(), &given.tokens, &given.sample_of)?;
        match &wave_function {
            WaveFunction::Autoregressive(network) => network.attention(&mut plan, part.len() as u32, &views)?,
            WaveFunction::Unnormalised(network) => network.attention(&mut plan, part.len() as u32, &views)?,
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

/// What half of the memory holds, and the kernel goes over.
fn samples_at_once(gpu: &Gpu, lattice: &Lattice, model: &dyn Model, attention: &AttentionLayers) -> Result<usize> {
    let [of_sample, _] = model.needs(gpu, lattice, Precision::Single)?.training_sample;
    let fit = gpu.default_memory() / 8 / of_sample.max(1);
    let most = AttentionWeights::most_samples(attention.head_width) as usize;
    Ok((fit as usize).min(most).clamp(1, CHUNK))
}
