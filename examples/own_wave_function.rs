//! A wave function of one's own from the layers of the library: embedding, transformer and categorical head.
//!
//! It is sampled, trained and saved as the built-in ones are. Other kernels can stand between the layers, in the four
//! passes below.
//!
//! cargo run --release --example own_wave_function

use ketformer::gpu::{Buffer, Gpu, Plan, Rows, View};
use ketformer::kernels::linear::{GradientInto, GradientSums};
use ketformer::model::layers::{
    BackwardContext, CategoricalHead, Embedding, EmbeddingSizes, HeadSizes, HeadTraining, OutcomeBuffers, RowLayout,
    Transformer, TransformerSizes,
};
use ketformer::model::{
    Activation, Attention, AttentionLayers, Autoregressive, Capacity, Layout, Model, Norm, Outcomes, ParameterSpec,
    Parameters, SampleRows, Start, SuffixBatch, WaveFunction,
};
use ketformer::physics::{Patch, Patching};
use ketformer::{Lattice, Result, Rydberg, TrainConfig, Trainer};

/// Settings of the wave function.
#[derive(Debug, Clone)]
pub struct OwnWaveFunction {
    pub width: u32,
    pub heads: u32,
    pub layers: u32,
}

/// Sizes of the layers on a lattice.
#[derive(Clone, Copy)]
struct Sizes {
    embedding: EmbeddingSizes,
    transformer: TransformerSizes,
    head: HeadSizes,
}

impl OwnWaveFunction {
    fn sizes(&self, lattice: &Lattice) -> Result<Sizes> {
        let patching = self.patching(lattice)?;
        let (positions, outcomes) = (patching.patches() as u32, patching.outcomes() as u32);
        Ok(Sizes {
            embedding: EmbeddingSizes {
                width: self.width,
                sites_per_patch: patching.sites_per_patch() as u32,
                patches: positions,
                stride: 4,
                start: Start::Learned,
                learns_position: true,
            },
            transformer: TransformerSizes {
                positions,
                period: positions,
                width: self.width,
                heads: self.heads,
                feed_forward: 2 * self.width,
                layers: self.layers,
                attention: Attention::Softmax,
                causal: true,
                norm: Norm::Pre,
                activation: Activation::Gelu,
            },
            head: HeadSizes { width: self.width, outcomes, complex: false },
        })
    }
}

impl Model for OwnWaveFunction {
    fn name(&self) -> &'static str {
        "own"
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        Patching::new(*lattice, Patch::Block([2, 1]))
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        self.patching(lattice).map(|_| ())
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        let Sizes { embedding, transformer, head } = self.sizes(lattice)?;
        let specs: Vec<ParameterSpec> =
            [Embedding::specs(&embedding), Transformer::specs(&transformer), head.specs()].concat();
        Ok(Layout::new(specs))
    }

    fn attention(&self, lattice: &Lattice) -> Result<Option<AttentionLayers>> {
        Ok(Some(AttentionLayers::causal(&self.sizes(lattice)?.transformer, &self.patching(lattice)?)))
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        Ok(Network::new(gpu, &self.sizes(lattice)?, parameters, capacity)?.into())
    }
}

/// The wave function on a device.
struct Network {
    embedding: Embedding,
    transformer: Transformer,
    head: CategoricalHead,
    positions: u32,
    samples: u32,
    decoded: OutcomeBuffers,
    connected: OutcomeBuffers,
    training: HeadTraining,
    /// Scratch of the gradients of parameters.
    scratch: Buffer,
}

impl Network {
    fn new(gpu: &Gpu, sizes: &Sizes, parameters: &Parameters, capacity: Capacity) -> Result<Self> {
        let Sizes { embedding, transformer, head } = *sizes;
        let positions = transformer.positions;
        let decoded_rows = u64::from(capacity.samples * positions);
        // A capacity without training samples still has room for one.
        let rows = SampleRows { samples: capacity.training_samples.max(1), rows_per_sample: positions };
        let widest = [Embedding::part_width(&embedding), Transformer::part_width(&transformer), head.part_width()];
        let widest = widest.into_iter().fold(0, u64::max);
        Ok(Self {
            embedding: Embedding::new(gpu, parameters, "", &[], embedding)?,
            transformer: Transformer::new(gpu, parameters, "", transformer, capacity)?,
            head: CategoricalHead::new(parameters, "", head)?,
            decoded: OutcomeBuffers::new(gpu, "own.decoded", decoded_rows, &head)?,
            connected: OutcomeBuffers::new(gpu, "own.connected", capacity.move_rows.max(1).into(), &head)?,
            training: HeadTraining::new(gpu, &head, rows.samples * positions)?,
            scratch: parameters.gradient_scratch(gpu, widest, rows)?,
            samples: capacity.samples,
            positions,
        })
    }
}

impl Autoregressive for Network {
    /// Position `t` of every sample, which reads the keys and values of the positions before.
    fn decode(&self, plan: &mut Plan, row_meta: &View, _tokens: &View, t: u32) -> Result<()> {
        let (rows, decoded) = (Rows::from(self.samples), self.transformer.decode_rows());
        self.embedding.record(plan, row_meta, &rows, &decoded.x)?;
        self.transformer.decode(plan, t)?;
        let place = RowLayout { stride: self.positions, first: t };
        self.head.record(plan, &decoded, &self.decoded.views(), &rows, place)
    }

    fn decoded(&self) -> Outcomes {
        self.decoded.views()
    }

    /// The positions that a connected configuration changes, which read those before from the samples.
    fn connected(&self, plan: &mut Plan, batch: &SuffixBatch) -> Result<Outcomes> {
        let rows = batch.items.times(batch.rows_per_item);
        let (connected, outcomes) = (self.transformer.connected_rows(), self.connected.views());
        self.embedding.record(plan, &batch.row_meta, &rows, &connected.x)?;
        self.transformer.connected(plan, batch)?;
        self.head.record(plan, &connected, &outcomes, &rows, RowLayout::SAME)?;
        Ok(outcomes)
    }

    /// All positions of given samples.
    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows) -> Result<Outcomes> {
        let kept = self.transformer.training_rows()?;
        self.embedding.record(plan, row_meta, rows, &kept.embedded)?;
        self.transformer.forward(plan, rows)?;
        self.training.forward(&self.head, plan, &kept.top, rows)
    }

    /// The gradients of all parameters, from those that have overwritten the outcomes of `forward`.
    fn backward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        let kept = self.transformer.training_rows()?;
        let sums = GradientSums::new(self.scratch.view(), into);
        let reversed = BackwardContext { rows, sums: &sums };
        self.training.backward(&self.head, plan, &reversed, &kept.of_head())?;
        self.transformer.backward(plan, &reversed)?;
        self.embedding.backward(plan, row_meta, &kept.d_embedded, &reversed)?;
        sums.finish(plan)
    }

    /// For maps and shared views of the attention weights.
    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.transformer.attention_weights(plan, samples, layers)
    }
}

fn main() -> Result<()> {
    let gpu = Gpu::new()?;
    let model = OwnWaveFunction { width: 16, heads: 4, layers: 1 };
    let config = TrainConfig { learning_rate: 3e-3, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&gpu, &Lattice::square(4, 4), &Rydberg::default(), &model, config)?;
    for report in trainer.steps(100) {
        let report = report?;
        if report.step % 20 == 0 {
            println!("step {:>3}  energy {:.4} ± {:.4}", report.step, report.energy, report.energy_error);
        }
    }
    trainer.weights()?.save("own.safetensors")
}
