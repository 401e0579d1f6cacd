//! Categorical head: the logits of a patch's outcomes from the features of a row (`lin.0`, relu, `lin.2`), and their
//! phases if the wave function is complex (`phase.0`, relu, `phase.2`).
//!
//! ```text
//! logits = W_b relu(W_a x + b_a) + b_b        W_a (C, C), W_b (V, C)
//! phases = U_b relu(U_a x + c_a) + c_b        U_a (C, C), U_b (V, C), in radians
//! ```
//!
//! Phase layers have the initial values of other linear layers. Phases must not all start near zero: for a real,
//! positive Ψ every local energy is real, so that Im E and the gradient with respect to the phases are zero. Steps as
//! long as those of stochastic reconfiguration then end in the best positive state.

use super::affine::{Affine, BackwardContext, Find, ParameterViews, linear, product};
use super::transformer::InferenceRows;
use super::transformer_layers::RowLayout;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{Activation, Extra, LinearShape};
use crate::kernels::nn::transformer_decode::part_outcomes;
use crate::model::{Outcomes, ParameterSpec, Parameters};

/// Sizes of a categorical head.
#[derive(Debug, Clone, Copy)]
pub struct HeadSizes {
    /// C
    pub width: u32,
    /// V
    pub outcomes: u32,
    /// Whether outcomes have phases.
    pub complex: bool,
}

impl HeadSizes {
    /// C, V
    fn widths(&self) -> [u64; 2] {
        [self.width, self.outcomes].map(u64::from)
    }

    /// Parameters: `lin.0`, `lin.2` and, of a complex wave function, `phase.0`, `phase.2`.
    pub fn specs(&self) -> Vec<ParameterSpec> {
        let [c, v] = [self.width, self.outcomes].map(|size| size as usize);
        let mut specs = [linear("lin.0", c, c), linear("lin.2", v, c)].concat();
        if self.complex {
            specs.extend([linear("phase.0", c, c), linear("phase.2", v, c)].concat());
        }
        specs
    }

    /// Elements of a gradient block of the widest weight with its bias.
    pub fn part_width(&self) -> u64 {
        let [c, v] = self.widths();
        (c + 1) * c.max(v)
    }
}

/// Buffer for the logits and phases of rows.
pub struct OutcomeBuffers {
    buffer: Buffer,
    views: Outcomes,
}

impl OutcomeBuffers {
    /// Creates buffers for `rows` rows of pass `name`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, name: &str, rows: u64, sizes: &HeadSizes) -> Result<Self> {
        let elements = rows * u64::from(sizes.outcomes);
        let distance = part_outcomes(elements);
        let buffer =
            gpu.buffer(&format!("ketformer.{name}.outcomes"), u64::from(sizes.complex) * distance + elements)?;
        let phases = || buffer.range(&format!("{name}.phases"), distance, elements);
        let views = Outcomes {
            logits: buffer.range(&format!("{name}.logits"), 0, elements)?,
            phases: sizes.complex.then(phases).transpose()?,
        };
        Ok(Self { buffer, views })
    }

    /// (rows, V): logits, and phases of a complex wave function.
    pub fn views(&self) -> Outcomes {
        self.views.clone()
    }

    /// Logits, followed by the phases.
    pub(crate) fn whole(&self) -> View {
        self.buffer.view()
    }
}

/// Parameters of two linear layers.
#[derive(Debug, Clone)]
struct Layers {
    hidden: Affine,
    out: Affine,
}

impl Layers {
    fn find(find: &Find<'_>, name: &str) -> Result<Self> {
        Ok(Self { hidden: Affine::find(find, &format!("{name}.0"))?, out: Affine::find(find, &format!("{name}.2"))? })
    }

    /// Records both layers from `x` to `out`; `hidden`, (rows, C), is the layer between them.
    fn record(
        &self,
        plan: &mut Plan,
        sizes: &HeadSizes,
        [x, hidden, out]: [&View; 3],
        rows: &Rows,
        place: RowLayout,
    ) -> Result<()> {
        let (c, v) = (sizes.width, sizes.outcomes);
        let into = LinearShape::forward(rows.clone(), c, c).activated(Activation::Relu);
        product(x, &self.hidden, Extra::None, hidden).record(plan, &into)?;
        let shape =
            LinearShape { y_stride: place.stride, y_first: place.first, ..LinearShape::forward(rows.clone(), c, v) };
        product(hidden, &self.out, Extra::None, out).record(plan, &shape)
    }
}

/// Parameters of a categorical head.
#[derive(Debug, Clone)]
pub(crate) struct HeadViews {
    logits: Layers,
    phases: Option<Layers>,
}

impl HeadViews {
    /// Both layers of the logits, then those of the phases.
    pub(crate) fn layers(&self) -> impl Iterator<Item = [&Affine; 2]> {
        std::iter::once(&self.logits).chain(&self.phases).map(|layers| [&layers.hidden, &layers.out])
    }
}

/// Categorical head on a device.
pub struct CategoricalHead {
    pub(crate) parameters: ParameterViews<HeadViews>,
    sizes: HeadSizes,
}

impl CategoricalHead {
    /// Finds the parameters of [`HeadSizes::specs`], to whose names `prefix` is prepended.
    ///
    /// # Errors
    /// As [`Parameters::value`].
    pub fn new(parameters: &Parameters, prefix: &str, sizes: HeadSizes) -> Result<Self> {
        let views = |find: &Find<'_>| {
            Ok(HeadViews {
                logits: Layers::find(find, "lin")?,
                phases: sizes.complex.then(|| Layers::find(find, "phase")).transpose()?,
            })
        };
        Ok(Self { parameters: ParameterViews::new(parameters, prefix, views)?, sizes })
    }

    /// Records the outcomes of an inference pass; row r of the pass is row r·stride + first of `outcomes`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(
        &self,
        plan: &mut Plan,
        InferenceRows { x, scratch: hidden }: &InferenceRows,
        outcomes: &Outcomes,
        rows: &Rows,
        place: RowLayout,
    ) -> Result<()> {
        let views = &self.parameters.sampled;
        views.logits.record(plan, &self.sizes, [x, hidden, &outcomes.logits], rows, place)?;
        match (&views.phases, &outcomes.phases) {
            (Some(layers), Some(phases)) => layers.record(plan, &self.sizes, [x, hidden, phases], rows, place),
            _ => Ok(()),
        }
    }
}

/// Rows of the backward pass of a head, (rows, C) each.
#[derive(Debug, Clone)]
pub struct HeadGradientRows {
    /// Input of the head.
    pub x: View,
    /// Scratch.
    pub scratch: View,
    /// Receives the gradient of `x`.
    pub d_x: View,
}

/// Activations and outcomes that the training pass keeps.
pub struct HeadTraining {
    /// (rows, C)
    hidden: Buffer,
    phases: Option<PhaseTraining>,
    outcomes: OutcomeBuffers,
}

/// Activations of the phases, and scratch of their gradient.
struct PhaseTraining {
    /// (rows, C)
    hidden: Buffer,
    /// (rows, C): gradient of the features through the logits
    d_x: Buffer,
}

impl HeadTraining {
    /// Creates buffers for `rows` rows.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, sizes: &HeadSizes, rows: u32) -> Result<Self> {
        let buffer =
            |name: &str| gpu.buffer(&format!("ketformer.head.{name}"), u64::from(rows) * u64::from(sizes.width));
        let phases = || Ok(PhaseTraining { hidden: buffer("phase.hidden")?, d_x: buffer("d_x")? });
        Ok(Self {
            hidden: buffer("hidden")?,
            phases: sizes.complex.then(phases).transpose()?,
            outcomes: OutcomeBuffers::new(gpu, "head", rows.into(), sizes)?,
        })
    }

    /// Records the outcomes of rows of `x`, (rows, C).
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn forward(&self, head: &CategoricalHead, plan: &mut Plan, x: &View, rows: &Rows) -> Result<Outcomes> {
        let (views, outcomes) = (&head.parameters.values, self.outcomes.views());
        views.logits.record(plan, &head.sizes, [x, &self.hidden, &outcomes.logits], rows, RowLayout::SAME)?;
        if let (Some(layers), Some(kept), Some(phases)) = (&views.phases, &self.phases, &outcomes.phases) {
            layers.record(plan, &head.sizes, [x, &kept.hidden, phases], rows, RowLayout::SAME)?;
        }
        Ok(outcomes)
    }

    /// Records the gradients of the parameters and of `x`, from the gradients that have overwritten the outcomes.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn backward(
        &self,
        head: &CategoricalHead,
        plan: &mut Plan,
        reversed: &BackwardContext<'_>,
        HeadGradientRows { x, scratch: d_hidden, d_x }: &HeadGradientRows,
    ) -> Result<()> {
        let (c, v) = (head.sizes.width, head.sizes.outcomes);
        let ParameterViews { values, gradients, .. } = &head.parameters;
        let mut layers = |values: &Layers, gradients: &Layers, [hidden, d_out, d_x]: [&View; 3], extra: Extra| {
            reversed.gradient(plan, hidden, d_out, [c, v], &gradients.out)?;
            let slope = (Extra::Slope(hidden.clone()), Activation::Relu);
            reversed.product(plan, d_out, &values.out, slope, d_hidden, [v, c])?;
            reversed.gradient(plan, x, d_hidden, [c, c], &gradients.hidden)?;
            reversed.product(plan, d_hidden, &values.hidden, (extra, Activation::None), d_x, [c, c])
        };
        let Outcomes { logits, phases } = self.outcomes.views();
        let (own, into) = (&values.logits, &gradients.logits);
        match (&values.phases, &gradients.phases, &self.phases, phases) {
            (Some(phase_values), Some(phase_gradients), Some(kept), Some(phases)) => {
                layers(own, into, [&self.hidden, &logits, &kept.d_x], Extra::None)?;
                let sum = Extra::Add(kept.d_x.view());
                layers(phase_values, phase_gradients, [&kept.hidden, &phases, d_x], sum)
            }
            _ => layers(own, into, [&self.hidden, &logits, d_x], Extra::None),
        }
    }
}
