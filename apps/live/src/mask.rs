//! The transformer with and without its causal mask: without it, the product of its outputs is not a probability.

use std::future::Future;

use eframe::egui::{RichText, Ui};
use ketformer::gpu::{Buffer, Gpu, Plan, Rows, View};
use ketformer::kernels::linear::{GradientInto, GradientSums};
use ketformer::model::layers::{
    BackwardContext, CategoricalHead, Embedding, EmbeddingSizes, HeadSizes, HeadTraining, Transformer, TransformerSizes,
};
use ketformer::model::{
    Autoregressive, Capacity, Layout, Model, Outcomes, Parameters, Ptf, SampleRows, SuffixBatch, WaveFunction, Weights,
};
use ketformer::physics::Patching;
use ketformer::vmc::{Likelihood, State};
use ketformer::{Error, ErrorKind, Lattice, Result};

use crate::controls::explain;
use crate::settings::{Family, Settings};
use crate::task::{Task, finished};
use crate::theme::{ACCENT, TEXT};
use crate::widgets::Places;

/// Maximum number of sites: all 2ᴺ configurations are evaluated.
const MOST_SITES: usize = 9;

/// The switch that takes the mask away, and what it does to the sum of all probabilities.
#[derive(Default)]
pub struct Mask {
    is_off: bool,
    task: Option<Task<Result<[f64; 2]>>>,
    /// With the mask, and without it.
    totals: Option<[f64; 2]>,
}

impl Mask {
    /// Begins the sums for newer weights, if the switch is on.
    ///
    /// # Errors
    /// As [`Likelihood::new`].
    pub fn begin(&mut self, gpu: &Gpu, settings: &Settings, weights: &Weights) -> Result<()> {
        if self.is_off && self.task.is_none() && is_possible(settings) {
            self.task = Some(Task::new(total_probabilities(gpu, settings, weights)?));
        }
        Ok(())
    }

    /// Takes sums that are there.
    ///
    /// # Errors
    /// As [`Likelihood::log_p`].
    pub fn collect(&mut self) -> Result<()> {
        if let Some(totals) = finished(&mut self.task) {
            self.totals = Some(totals?);
        }
        Ok(())
    }

    /// Shows the switch. Returns whether it was turned on.
    pub fn show(&mut self, ui: &mut Ui, settings: &Settings, places: &mut Places) -> bool {
        let toggle = ui.checkbox(&mut self.is_off, "no mask");
        places.add("no mask", toggle.rect);
        let text = "An atom then also sees those that are drawn after it, and itself: what the network gives is no probability. \
                    Training keeps the mask.";
        explain(ui, text);
        if self.is_off && !is_possible(settings) {
            ui.label(RichText::new("choose 2×2 or 4×2: all 2ᴺ configurations are summed").small().color(TEXT));
        } else if self.is_off {
            let number = |at: usize| self.totals.map_or("…".into(), |totals| format!("{:.4}", totals[at]));
            let text = format!("ΣP = {} with the mask, {} without", number(0), number(1));
            ui.label(RichText::new(text).color(ACCENT));
        }
        toggle.changed() && self.is_off
    }

    /// Forgets the sums of other sizes.
    pub fn forget(&mut self) {
        (self.task, self.totals) = (None, None);
    }

    /// The sums, for a test.
    pub fn totals(&self) -> Option<[f64; 2]> {
        self.totals
    }
}

fn is_possible(settings: &Settings) -> bool {
    settings.family == Family::Ptf && settings.lattice().sites() <= MOST_SITES
}

/// Σ_σ Π_t P(patch t | …) over all configurations, with the mask of `settings` and without it.
fn total_probabilities(
    gpu: &Gpu,
    settings: &Settings,
    weights: &Weights,
) -> Result<impl Future<Output = Result<[f64; 2]>> + 'static> {
    let (lattice, ptf) = (settings.lattice(), settings.ptf());
    let sites = lattice.sites();
    let configurations: Vec<Vec<u8>> =
        (0..1u32 << sites).map(|bits| (0..sites).map(|site| (bits >> site & 1) as u8).collect()).collect();
    let of = |model: &dyn Model| Likelihood::new(&State::new(gpu, &lattice, model, weights), &configurations);
    let likelihoods = [of(&ptf)?, of(&Unmasked(ptf.clone()))?];
    Ok(async move {
        let mut totals = [0.0; 2];
        for (total, likelihood) in totals.iter_mut().zip(&likelihoods) {
            *total = likelihood.log_p_async().await?.iter().map(|log_p| log_p.exp()).sum();
        }
        Ok(totals)
    })
}

/// A transformer wave function without the causal mask, which has the parameters of one with it.
#[derive(Debug, Clone)]
struct Unmasked(Ptf);

impl Model for Unmasked {
    fn name(&self) -> &'static str {
        "unmasked"
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        self.0.patching(lattice)
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        self.0.check(lattice)
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        self.0.layout(lattice)
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        let (ptf, patching) = (&self.0, self.patching(lattice)?);
        let (width, positions) = (ptf.width as u32, patching.patches() as u32);
        let embedding = EmbeddingSizes {
            width,
            sites_per_patch: patching.sites_per_patch() as u32,
            patches: positions,
            stride: 4,
            start: ptf.start,
            learns_position: false,
        };
        let transformer = TransformerSizes {
            positions,
            period: positions,
            width,
            heads: ptf.heads as u32,
            feed_forward: ptf.feed_forward as u32,
            layers: ptf.layers as u32,
            attention: ptf.attention,
            causal: false,
            norm: ptf.norm,
            activation: ptf.activation,
        };
        let head = HeadSizes { width, outcomes: patching.outcomes() as u32, complex: false };
        let rows = SampleRows { samples: capacity.training_samples.max(1), rows_per_sample: positions };
        let widest = [Embedding::part_width(&embedding), Transformer::part_width(&transformer), head.part_width()];
        let table = ptf.position.table(&patching, ptf.width).unwrap_or_default();
        let network = Network {
            embedding: Embedding::new(gpu, parameters, "", &table, embedding)?,
            transformer: Transformer::new(gpu, parameters, "", transformer, capacity)?,
            training: HeadTraining::new(gpu, &head, rows.samples * positions)?,
            head: CategoricalHead::new(parameters, "", head)?,
            scratch: parameters.gradient_scratch(gpu, widest.into_iter().fold(0, u64::max), rows)?,
        };
        Ok(network.into())
    }
}

struct Network {
    embedding: Embedding,
    transformer: Transformer,
    head: CategoricalHead,
    training: HeadTraining,
    scratch: Buffer,
}

fn no_samples<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Settings, "without a mask no patch can be drawn before the others are known"))
}

impl Autoregressive for Network {
    fn decode(&self, _: &mut Plan, _: &View, _: &View, _: u32) -> Result<()> {
        no_samples()
    }

    fn decoded(&self) -> Outcomes {
        self.scratch.view().into()
    }

    fn connected(&self, _: &mut Plan, _: &SuffixBatch) -> Result<Outcomes> {
        no_samples()
    }

    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows) -> Result<Outcomes> {
        let kept = self.transformer.training_rows()?;
        self.embedding.record(plan, row_meta, rows, &kept.embedded)?;
        self.transformer.forward(plan, rows)?;
        self.training.forward(&self.head, plan, &kept.top, rows)
    }

    fn backward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, into: GradientInto<'_>) -> Result<()> {
        let kept = self.transformer.training_rows()?;
        let sums = GradientSums::new(self.scratch.view(), into);
        let reversed = BackwardContext { rows, sums: &sums };
        self.training.backward(&self.head, plan, &reversed, &kept.of_head())?;
        self.transformer.backward(plan, &reversed)?;
        self.embedding.backward(plan, row_meta, &kept.d_embedded, &reversed)?;
        sums.finish(plan)
    }
}
