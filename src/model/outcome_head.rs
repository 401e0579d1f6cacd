//! From a row's features to its patch's outcomes: their logits (`lin.0`, relu, `lin.2`) and, where the wave function is
//! complex, their phases (`phase.0`, relu, `phase.2`).
//!
//! ```text
//! logits = W_b relu(W_a x + b_a) + b_b        W_a (C, C), W_b (V, C)
//! phases = U_b relu(U_a x + c_a) + c_b        U_a (C, C), U_b (V, C), in radians
//! ```
//!
//! Phases begin as other linear layers do. They must not all be near zero: of a real, positive Ψ every local energy is real,
//! and with Im E the gradient by the phases is zero, so that steps as long as those of stochastic reconfiguration end in the
//! best of the positive states.

use super::affine::{Affine, Find, Places, Reversed, linear, product};
use super::transformer::Place;
use super::{Outcomes, ParameterSpec, Parameters};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{Activation, Extra, LinearShape};

/// The sizes of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadSizes {
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

    /// Numbers that are made of an outcome.
    fn parts(&self) -> u64 {
        1 + u64::from(self.complex)
    }

    pub fn specs(&self) -> Vec<ParameterSpec> {
        let [c, v] = [self.width, self.outcomes].map(|size| size as usize);
        let mut specs = [linear("lin.0", c, c), linear("lin.2", v, c)].concat();
        if self.complex {
            specs.extend([linear("phase.0", c, c), linear("phase.2", v, c)].concat());
        }
        specs
    }

    /// Elements of the outcomes of a row, and of the widest buffer among them.
    pub fn outcome_needs(&self) -> [u64; 2] {
        let [_, v] = self.widths();
        [self.parts() * v, v]
    }

    /// Elements of a row of the pass with gradient, and of the widest buffer among them.
    pub fn training_needs(&self) -> [u64; 2] {
        let ([c, v], parts) = (self.widths(), self.parts());
        [parts * (c + v) + (parts - 1) * c, c.max(v)]
    }

    /// Elements of a block of the widest weight with its bias.
    pub fn part_width(&self) -> u64 {
        let [c, v] = self.widths();
        (c + 1) * c.max(v)
    }
}

/// Logits and phases of rows.
pub(super) struct OutcomeBuffers {
    logits: Buffer,
    phases: Option<Buffer>,
}

impl OutcomeBuffers {
    /// For `rows` rows of pass `name`.
    pub fn new(gpu: &Gpu, name: &str, rows: u64, sizes: &HeadSizes) -> Result<Self> {
        let buffer = |part: &str| gpu.buffer(&format!("ketformer.{name}.{part}"), rows * u64::from(sizes.outcomes));
        Ok(Self { logits: buffer("logits")?, phases: sizes.complex.then(|| buffer("phases")).transpose()? })
    }

    pub fn views(&self) -> Outcomes {
        Outcomes { logits: self.logits.view(), phases: self.phases.as_ref().map(|phases| phases.view()) }
    }
}

/// Two layers.
#[derive(Debug, Clone)]
struct Layers {
    hidden: Affine,
    out: Affine,
}

impl Layers {
    fn find(find: &Find<'_>, name: &str) -> Result<Self> {
        Ok(Self { hidden: Affine::find(find, &format!("{name}.0"))?, out: Affine::find(find, &format!("{name}.2"))? })
    }

    /// What they make of `x` in `out`, through `hidden`, (rows, C).
    fn record(
        &self,
        plan: &mut Plan,
        sizes: &HeadSizes,
        [x, hidden, out]: [&View; 3],
        rows: &Rows,
        place: Place,
    ) -> Result<()> {
        let (c, v) = (sizes.width, sizes.outcomes);
        let into = LinearShape::forward(rows.clone(), c, c).activated(Activation::Relu);
        product(x, &self.hidden, Extra::None, hidden).record(plan, &into)?;
        let shape =
            LinearShape { y_stride: place.stride, y_first: place.first, ..LinearShape::forward(rows.clone(), c, v) };
        product(hidden, &self.out, Extra::None, out).record(plan, &shape)
    }
}

/// Its parameters.
#[derive(Debug, Clone)]
pub(super) struct HeadViews {
    logits: Layers,
    phases: Option<Layers>,
}

/// The head on a device.
pub(super) struct OutcomeHead {
    pub places: Places<HeadViews>,
    sizes: HeadSizes,
}

impl OutcomeHead {
    pub fn new(parameters: &Parameters, prefix: &str, sizes: HeadSizes) -> Result<Self> {
        let views = |find: &Find<'_>| {
            Ok(HeadViews {
                logits: Layers::find(find, "lin")?,
                phases: sizes.complex.then(|| Layers::find(find, "phase")).transpose()?,
            })
        };
        Ok(Self { places: Places::new(parameters, prefix, views)?, sizes })
    }

    /// The outcomes of rows of `x`; `hidden` is scratch, (rows, C).
    pub fn record(
        &self,
        plan: &mut Plan,
        views: &HeadViews,
        [x, hidden]: [&View; 2],
        outcomes: &Outcomes,
        rows: &Rows,
        place: Place,
    ) -> Result<()> {
        views.logits.record(plan, &self.sizes, [x, hidden, &outcomes.logits], rows, place)?;
        match (&views.phases, &outcomes.phases) {
            (Some(layers), Some(phases)) => layers.record(plan, &self.sizes, [x, hidden, phases], rows, place),
            _ => Ok(()),
        }
    }
}

/// What the pass with gradient keeps.
pub(super) struct HeadTraining {
    /// (rows, C)
    hidden: Buffer,
    phases: Option<PhaseTraining>,
    outcomes: OutcomeBuffers,
}

/// The same of phases.
struct PhaseTraining {
    /// (rows, C)
    hidden: Buffer,
    /// (rows, C): the gradient of the features through the logits.
    d_x: Buffer,
}

impl HeadTraining {
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

    pub fn forward(&self, head: &OutcomeHead, plan: &mut Plan, x: &View, rows: &Rows) -> Result<Outcomes> {
        let (views, outcomes) = (&head.places.values, self.outcomes.views());
        views.logits.record(plan, &head.sizes, [x, &self.hidden, &outcomes.logits], rows, Place::SAME)?;
        if let (Some(layers), Some(kept), Some(phases)) = (&views.phases, &self.phases, &outcomes.phases) {
            layers.record(plan, &head.sizes, [x, &kept.hidden, phases], rows, Place::SAME)?;
        }
        Ok(outcomes)
    }

    /// From the gradients that stand in logits and phases to that of `x` in `d_x`; `d_hidden` is scratch, (rows, C).
    pub fn backward(
        &self,
        head: &OutcomeHead,
        plan: &mut Plan,
        reversed: &Reversed<'_>,
        [x, d_hidden, d_x]: [&View; 3],
    ) -> Result<()> {
        let (c, v) = (head.sizes.width, head.sizes.outcomes);
        let Places { values, gradients, .. } = &head.places;
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
