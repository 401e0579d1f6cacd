//! Products with the Jacobian on the device: G = X Xᵀ, X · direction, Xᵀ v.

use super::layer_plan::{GradientSource, LayerUnit, Placed, SampleExtent, aligned_floats, arenas, passes, units};
use super::layers::{Layer, Listener};
use super::recorder::{Recorder, Room};
use super::solve::{GramMatrix, project};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Cost, DynamicRows, Gpu, Plan, View};
use crate::host_memory;
use crate::kernels::gram::{
    DotShape, GramPairs, GramProduct, GramShape, JacobianCenter, PairsShape, RowsDot, SampleRows, Triangle,
};
use crate::kernels::linear::{Extra, GradientInto, LinearProduct, LinearShape};
use crate::kernels::vmc::rows::Window;
use crate::model::{Capacity, Model, Parameters};
use crate::physics::Lattice;
use crate::vmc::step::gradient_pass::{GradientPass, LogPsiCotangent};
use crate::vmc::step::kind::gradient_pass;

/// Maximum number of columns of a panel per launch. Software drivers terminate longer loops.
const COLUMNS: u32 = 1 << 14;
/// Floats of the launch parameters of a plan, and of each of its indirect grids.
const PLAN_FLOATS: [u64; 2] = [20_000, 12];
/// The number of samples of a chunk is a multiple of this, which aligns views.
pub(crate) const CHUNK: u32 = 64;

/// Number of rows of a Gram matrix above which the memory of the host is checked.
const LARGE_GRAM: usize = 4096;
/// Bytes of the host for each element of a Gram matrix: G, G + λ and their factors or eigenvectors.
const GRAM_BYTES: u64 = 32;

/// Samples of the Gram matrix with their gradient pass.
pub(crate) struct GramSamples<'a> {
    pub gpu: &'a Gpu,
    pub pass: &'a dyn GradientPass,
    /// All counters.
    pub counters: &'a View,
    /// Counter of the deduplicated samples.
    pub live: View,
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// B
    pub samples: u32,
    /// T
    pub patches: u32,
    /// Deduplicated samples per gradient pass.
    pub chunk: u32,
}

impl GramSamples<'_> {
    /// Window of at most `chunk` deduplicated samples from `first` on. With `apart`, sums over rows are per sample.
    fn window(&self, first: u32, chunk: u32, apart: bool) -> Window {
        let most = chunk.min(self.samples - first);
        let live = DynamicRows::new(self.live.clone(), first, most, 1);
        let items = if apart { live.apart() } else { live }.into();
        Window { items, first, capacity: most, samples: self.samples, patches: self.patches }
    }
}

/// Layers and units for a wave function and a number of samples, determined before memory is allocated.
pub(crate) struct LayerList {
    layers: Vec<Layer>,
    units: Vec<LayerUnit>,
    extent: SampleExtent,
    momentum: bool,
    binding: u64,
    /// Launches of a pass over one chunk.
    launches: u64,
}

impl LayerList {
    /// Lists the layers by recording a backward pass over one sample.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if the Gram matrix or the gradients of a layer exceed the adapter's binding limit; as
    /// [`Model::network`].
    pub(crate) fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        model: &dyn Model,
        parameters: &Parameters,
        (samples, momentum): (u32, bool),
    ) -> Result<Self> {
        let patching = model.patching(lattice)?;
        let capacity = Capacity::of_gradient(1);
        let network = model.network(gpu, lattice, parameters, capacity)?;
        let complex = model.is_complex();
        let pass = gradient_pass(gpu, model, &network, &patching, 1)?;
        let patches = patching.patches() as u32;
        let one = gpu.upload("ketformer.gram.one", &[1u32])?;
        let tokens = gpu.buffer("ketformer.gram.tokens", patches.into())?;
        let weighting = LogPsiCotangent::new(gpu, "ketformer.gram.weights", 1, complex)?;
        let items = DynamicRows::new(one.view(), 0, 1, 1).apart().into();
        let window = Window { items, first: 0, capacity: 1, samples: 1, patches };
        let listener = Listener::default();
        let mut plan = Plan::new(gpu);
        plan.write_indirect_args(&one)?;
        let kept = pass.forward(&mut plan, &window, &tokens, &one)?;
        pass.backward(&mut plan, &window, kept, &weighting.from(0)?, GradientInto::Samples(&listener))?;
        let layers = listener.layers.into_inner();
        let extent = SampleExtent::new(samples, complex);
        let binding = gpu.limits().max_storage_buffer_binding_size;
        if 4 * Triangle::elements(extent.rows()) > binding {
            let message = format!(
                "the Gram matrix of {samples} samples takes {} MiB in one binding, the adapter's limit is {} MiB; use \
                 fewer samples",
                (4 * Triangle::elements(extent.rows())) >> 20,
                binding >> 20
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
        let launches = plan.len() as u64;
        Ok(Self { units: units(&layers, extent, binding)?, layers, extent, momentum, binding, launches })
    }

    /// Floats of the tables of all plans, which a dry run does not allocate. The number of passes follows from the
    /// floats of the panels.
    pub(crate) fn tables(&self, panels: u64) -> u64 {
        let arenas = arenas(panels, self.binding);
        let passes = passes(&self.units, &self.layers, self.extent, &arenas).map_or(self.units.len(), |all| all.len());
        passes as u64 * self.tables_of(self.units.len().div_ceil(passes.max(1)) as u64) + 2 * self.tables_of(0)
    }

    /// Floats of the tables of a pass for `units` units in the smallest chunks. The capacity of tables of indirect
    /// grids doubles as they grow.
    fn tables_of(&self, units: u64) -> u64 {
        let windows = u64::from(self.extent.part_rows.div_ceil(CHUNK) * self.extent.parts);
        let [parameters, each] = PLAN_FLOATS;
        parameters + each * (windows * (self.launches + 4 * units + 8)).next_power_of_two()
    }

    /// Scratch floats per sample of a chunk.
    fn per_sample(&self) -> u64 {
        let of_unit = |unit: &LayerUnit| {
            let layer = &self.layers[unit.layer];
            let width = match (&unit.source, layer.linear) {
                (GradientSource::Panel { outputs: Some([first, end]) }, _) => end - first,
                (GradientSource::Pairs, Some([_, outputs])) if self.momentum => outputs,
                _ => 0,
            };
            u64::from(layer.tokens) * u64::from(width)
        };
        self.units.iter().map(of_unit).max().unwrap_or(0)
    }

    /// Minimum and maximum useful number of floats of panels.
    pub(crate) fn panels(&self) -> [u64; 2] {
        let floats = |unit: &LayerUnit| aligned_floats(unit, &self.layers, self.extent);
        let (widest, all) =
            (self.units.iter().map(floats).max().unwrap_or(0), self.units.iter().map(floats).sum::<u64>());
        // The two buffers of a pair may need different arenas, and the end of an arena may stay unused.
        let arena = self.binding / 4 / 64 * 64;
        let least = if widest <= arena { widest } else { 2 * arena };
        [least, all + all / arena * widest.min(arena)].map(|floats| floats.next_multiple_of(64))
    }

    /// Number of units of pairs of rows, and of panels.
    pub(crate) fn additions(&self) -> [usize; 2] {
        let pairs = self.units.iter().filter(|unit| unit.source == GradientSource::Pairs).count();
        [pairs, self.units.len() - pairs]
    }
}

/// Buffers of [`Products`].
pub(crate) struct ProductBuffers {
    gram: [Buffer; 2],
    /// (part_rows)
    root: Buffer,
    /// Cotangents of the real parts of log ψ, and of the imaginary parts if the wave function is complex.
    seeds: Vec<LogPsiCotangent>,
    combination: LogPsiCotangent,
    /// (rows, 2): X · direction as high, low; with momentum only
    along: Option<Buffer>,
    panels: Vec<Buffer>,
    /// Columns of the gradients of a chunk, or products of its rows.
    scratch: Buffer,
}

impl ProductBuffers {
    /// Creates buffers for chunks of at most `chunk` samples, with panels of `panels` floats in total.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu, layer_list: &LayerList, chunk: u32, panels: u64) -> Result<Self> {
        let extent = layer_list.extent;
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.gram.{name}"), elements);
        let cotangent = |name: &str| LogPsiCotangent::new(gpu, name, extent.part_rows, extent.parts == 2);
        let triangle = Triangle::elements(extent.rows());
        Ok(Self {
            gram: [buffer("high", triangle)?, buffer("low", triangle)?],
            root: buffer("root", extent.part_rows.into())?,
            seeds: (0..extent.parts).map(|_| cotangent("ketformer.gram.seed")).collect::<Result<_>>()?,
            combination: cotangent("ketformer.gram.combination")?,
            along: layer_list.momentum.then(|| buffer("along", 2 * u64::from(extent.rows()))).transpose()?,
            panels: arenas(panels, layer_list.binding)
                .iter()
                .map(|floats| buffer("panels", *floats))
                .collect::<Result<_>>()?,
            scratch: buffer("scratch", u64::from(chunk) * layer_list.per_sample())?,
        })
    }
}

/// Products with the Jacobian: buffers and plans.
pub(crate) struct Products {
    extent: SampleExtent,
    rows: SampleRows,
    buffers: ProductBuffers,
    passes: Vec<Plan>,
    combine: Plan,
}

impl Products {
    /// Records the passes. With momentum, `direction` is that of the previous step.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if the panels are too small; as [`Plan::launch`].
    pub(crate) fn new(
        layer_list: &LayerList,
        samples: &GramSamples<'_>,
        buffers: ProductBuffers,
        direction: Option<&View>,
    ) -> Result<Self> {
        let (gpu, extent) = (samples.gpu, layer_list.extent);
        let chunk = if samples.chunk < samples.samples { samples.chunk / CHUNK * CHUNK } else { samples.chunk };
        let mut products = Self {
            extent,
            rows: SampleRows { live: samples.live.clone(), part_rows: extent.part_rows, parts: extent.parts },
            buffers,
            passes: Vec::new(),
            combine: Plan::new(gpu),
        };
        let ProductBuffers { panels, scratch, seeds, .. } = &products.buffers;
        let room = Room { extent, layers: &layer_list.layers, arenas: panels, scratch };
        let floats: Vec<u64> = panels.iter().map(|arena| arena.bytes() / 4).collect();
        let passes = passes(&layer_list.units, &layer_list.layers, extent, &floats)?;
        let mut plans = Vec::new();
        for (number, pass) in passes.iter().enumerate() {
            let mut plan = Plan::new(gpu);
            plan.write_indirect_args(samples.counters)?;
            for first in (0..samples.samples).step_by(chunk as usize) {
                let window = samples.window(first, chunk, true);
                for (part, seed) in seeds.iter().enumerate() {
                    plan.scope("forward");
                    let kept = samples.pass.forward(&mut plan, &window, &samples.tokens, &samples.sample_of)?;
                    plan.scope("jacobian");
                    let recorder = Recorder::new(room, pass, first, part as u32);
                    let into = GradientInto::Samples(&recorder);
                    samples.pass.backward(&mut plan, &window, kept, &seed.from(first)?, into)?;
                }
            }
            for (i, placed) in pass.iter().enumerate() {
                plan.scope("gram");
                products.record_unit(&mut plan, room, placed, number + i > 0)?;
                if let Some(direction) = direction {
                    plan.scope("momentum");
                    products.record_along(&mut plan, room, placed, direction, samples)?;
                }
            }
            plans.push(plan);
        }
        products.passes = plans;
        products.record_combination(samples)?;
        Ok(products)
    }

    fn triangle(&self) -> Triangle {
        let [high, low] = &self.buffers.gram;
        Triangle { high: high.view(), low: low.view() }
    }

    /// Records the addition of the products of a unit to the Gram matrix.
    fn record_unit(&self, plan: &mut Plan, room: Room<'_>, placed: &Placed, keep: bool) -> Result<()> {
        let layer = &room.layers[placed.unit.layer];
        let (rows, part_rows) = (u64::from(self.extent.rows()), u64::from(self.extent.part_rows));
        if let (GradientSource::Pairs, Some([inputs, outputs])) = (&placed.unit.source, layer.linear) {
            let tokens = u64::from(layer.tokens);
            let pairs = GramPairs {
                signal: room.rows(placed.at[0], [0, rows * tokens, outputs.into()])?,
                input: room.rows(placed.at[1], [0, part_rows * tokens, inputs.into()])?,
                gram: self.triangle(),
            };
            let (samples, bias) = (self.rows.clone(), layer.has_bias());
            return pairs.record(plan, &PairsShape { samples, outputs, inputs, tokens: layer.tokens, bias, keep });
        }
        let (elements, _) = panel(layer, &placed.unit.source);
        let stride = elements[0] + elements[1];
        let columns = if layer.has_bias() { stride } else { elements[0] };
        let panel = room.rows(placed.at[0], [0, rows, stride.into()])?;
        JacobianCenter { root: self.buffers.root.view(), panel: panel.clone() }.record(plan, &self.rows, stride)?;
        for first in (0..columns).step_by(COLUMNS as usize) {
            let some = panel.range(panel.label(), first.into(), rows * u64::from(stride) - u64::from(first))?;
            let shape = GramShape {
                samples: self.rows.clone(),
                columns: COLUMNS.min(columns - first),
                stride,
                keep: keep || first > 0,
            };
            GramProduct { panel: some, gram: self.triangle() }.record(plan, &shape)?;
        }
        Ok(())
    }

    /// Records the addition of the contribution of a unit to X · direction.
    fn record_along(
        &self,
        plan: &mut Plan,
        room: Room<'_>,
        placed: &Placed,
        direction: &View,
        samples: &GramSamples<'_>,
    ) -> Result<()> {
        let Some(along) = &self.buffers.along else { return Ok(()) };
        let layer = &room.layers[placed.unit.layer];
        let rows = u64::from(self.extent.rows());
        if let (GradientSource::Pairs, Some([inputs, outputs])) = (&placed.unit.source, layer.linear) {
            let range = |which: usize| {
                let elements = u64::from(layer.elements[which]);
                layer.first[which].map(|first| direction.range("ketformer.direction", first, elements)).transpose()
            };
            let (Some(weight), bias) = (range(0)?, range(1)?) else { return Ok(()) };
            let most = room.scratch.bytes() / 4 / (u64::from(layer.tokens) * u64::from(outputs)).max(1);
            let chunk = (most as u32 / CHUNK * CHUNK).clamp(CHUNK.min(most as u32), self.extent.part_rows);
            for first in (0..samples.samples).step_by(chunk as usize) {
                let count = chunk.min(samples.samples - first);
                let tokens = u64::from(layer.tokens);
                let of_chunk =
                    |first: u32, width: u32| [u64::from(first) * tokens, u64::from(count) * tokens, width.into()];
                let product = LinearProduct {
                    x: room.rows(placed.at[1], of_chunk(first, inputs))?,
                    weight: weight.clone(),
                    bias: bias.clone(),
                    extra: Extra::None,
                    y: room.scratch.clone(),
                };
                product.record(plan, &LinearShape::forward(count * layer.tokens, inputs, outputs))?;
                for part in 0..self.extent.parts {
                    let row = part * self.extent.part_rows + first;
                    let dot = RowsDot {
                        u: room.rows(placed.at[0], of_chunk(row, outputs))?,
                        v: room.scratch.clone(),
                        y: along.range("ketformer.gram.along", 2 * u64::from(row), 2 * u64::from(count))?,
                    };
                    let shape = DotShape {
                        samples: SampleRows { part_rows: count, parts: 1, ..self.rows.clone() },
                        first_sample: first,
                        tokens: layer.tokens,
                        width: outputs,
                        first: 0,
                        u_stride: outputs,
                        one_at: None,
                        keep: true,
                    };
                    dot.record(plan, &shape)?;
                }
            }
            return Ok(());
        }
        let (elements, first) = panel(layer, &placed.unit.source);
        let stride = elements[0] + elements[1];
        for which in 0..2 {
            let Some(at) = first[which] else { continue };
            let dot = RowsDot {
                u: room.rows(placed.at[0], [0, rows, stride.into()])?,
                v: direction.clone(),
                y: along.view(),
            };
            let shape = DotShape {
                samples: self.rows.clone(),
                first_sample: 0,
                tokens: 1,
                width: elements[which],
                first: if which == 1 { elements[0] } else { 0 },
                u_stride: stride,
                one_at: Some(at as u32),
                keep: true,
            };
            dot.record(plan, &shape)?;
        }
        Ok(())
    }

    /// Records Xᵀ v into the gradient, as a gradient pass with weights.
    fn record_combination(&mut self, samples: &GramSamples<'_>) -> Result<()> {
        let plan = &mut self.combine;
        plan.write_indirect_args(samples.counters)?;
        for first in (0..samples.samples).step_by(samples.chunk as usize) {
            let window = samples.window(first, samples.chunk, false);
            plan.scope("forward");
            let kept = samples.pass.forward(plan, &window, &samples.tokens, &samples.sample_of)?;
            plan.scope("backward");
            let into = GradientInto::Sum { keep: first > 0 };
            samples.pass.backward(plan, &window, kept, &self.buffers.combination.from(first)?, into)?;
        }
        Ok(())
    }

    /// Returns the plan of Xᵀ v for recording further launches. [`Products::combination`] has v.
    pub(crate) fn combine(&mut self) -> &mut Plan {
        &mut self.combine
    }

    /// Returns the plan of Xᵀ v for running it.
    pub(crate) fn combined(&self) -> &Plan {
        &self.combine
    }

    /// Returns all plans.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.passes.iter().chain([&self.combine])
    }

    /// Returns the number of passes, their cost, and the cost of Xᵀ v.
    pub(crate) fn cost(&self) -> (usize, Cost, Cost) {
        let sum = |plans: &[Plan]| plans.iter().fold(Cost::default(), |sum, plan| sum + plan.cost());
        (self.passes.len(), sum(&self.passes), self.combine.cost())
    }

    /// Returns the plans that compute G and X · direction, in their order, with [`Products::zeros`] and
    /// [`Products::writes`] before them.
    pub(crate) fn passes(&self) -> &[Plan] {
        &self.passes
    }

    /// Returns the views that must be zero before the passes.
    pub(crate) fn zeros(&self) -> Vec<View> {
        self.buffers.along.iter().map(Buffer::view).collect()
    }

    /// Returns what the passes read for samples with the square roots of weights `root`.
    ///
    /// # Errors
    /// As [`View::range`].
    pub(crate) fn writes(&self, root: &[f64]) -> Result<Vec<(View, Vec<u32>)>> {
        let scaled = |factor: f32| root.iter().map(|root| (factor * *root as f32).to_bits()).collect::<Vec<u32>>();
        let mut writes = vec![(self.buffers.root.view(), scaled(1.0))];
        for (part, seed) in self.buffers.seeds.iter().enumerate() {
            let zeros = vec![0; root.len()];
            writes.extend(match part {
                0 => seed.parts(scaled(0.5), zeros)?,
                _ => seed.parts(zeros, scaled(1.0))?,
            });
        }
        Ok(writes)
    }

    /// Returns the views with the results of the passes for `samples` samples, with their numbers of words.
    pub(crate) fn to_read(&self, samples: usize) -> Vec<(View, usize)> {
        let elements = ProductWords::elements(self.extent, samples);
        let along = self.buffers.along.iter().map(|along| (along.view(), 2 * self.extent.rows() as usize));
        self.buffers.gram.iter().map(|half| (half.view(), elements)).chain(along).collect()
    }

    /// Results of the passes, from the words of [`Products::to_read`].
    pub(crate) fn words(&self, words: Vec<Vec<u32>>) -> ProductWords {
        ProductWords { extent: self.extent, words }
    }

    /// Returns the weights of the plan that computes Xᵀ v, which [`Products::combined`] returns.
    ///
    /// # Errors
    /// As [`View::range`].
    pub(crate) fn combination(&self, v: &[f64], root: &[f64]) -> Result<Vec<(View, Vec<u32>)>> {
        let part = |part: &[f64], factor: f64| {
            let mut part = part.to_vec();
            project(&mut part, root);
            part.iter().zip(root).map(|(v, root)| ((factor * root * v) as f32).to_bits()).collect::<Vec<u32>>()
        };
        let mut parts = v.chunks(root.len());
        let real = parts.next().map(|v| part(v, 0.5)).unwrap_or_default();
        let imaginary = parts.next().map(|v| part(v, 1.0)).unwrap_or_default();
        self.buffers.combination.parts(real, imaginary)
    }
}

/// Sum of two floats by their bits.
fn double(high: u32, low: u32) -> f64 {
    f64::from(f32::from_bits(high)) + f64::from(f32::from_bits(low))
}

/// Results of the passes on the host.
pub(crate) struct ProductWords {
    extent: SampleExtent,
    /// Triangle of G: high, low; with momentum also X · direction as pairs of high, low.
    words: Vec<Vec<u32>>,
}

impl ProductWords {
    /// Row of the triangle of row `r` of the matrix of `samples` samples.
    fn row(extent: SampleExtent, samples: usize, r: usize) -> usize {
        r / samples * extent.part_rows as usize + r % samples
    }

    /// Number of elements of the triangle up to the last row of `samples` samples.
    fn elements(extent: SampleExtent, samples: usize) -> usize {
        let last = (extent.parts as usize * samples).saturating_sub(1);
        Triangle::elements(Self::row(extent, samples, last) as u32 + 1) as usize
    }

    /// Returns G for samples with the square roots of weights `root`.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if this machine has too little memory.
    pub(crate) fn gram(&self, root: &[f64]) -> Result<GramMatrix> {
        let n = self.extent.parts as usize * root.len();
        if n > LARGE_GRAM {
            let bytes = GRAM_BYTES.saturating_mul((n as u64).saturating_mul(n as u64));
            host_memory::check("the Gram matrix and its factorization", bytes, "give fewer samples")?;
        }
        let (high, low) = (&self.words[0], &self.words[1]);
        let row = |r: usize| Self::row(self.extent, root.len(), r);
        let mut values = vec![0.0; n * n];
        for r in 0..n {
            for c in 0..=r {
                let at = Triangle::at(row(r), row(c));
                let value = double(high[at], low[at]);
                values[r * n + c] = value;
                values[c * n + r] = value;
            }
        }
        let mut gram = GramMatrix::new(n, values);
        gram.project(root);
        Ok(gram)
    }

    /// Returns X · direction; zeros without momentum.
    pub(crate) fn along(&self, root: &[f64]) -> Vec<f64> {
        let samples = root.len();
        let Some(pairs) = self.words.get(2) else { return vec![0.0; self.extent.parts as usize * samples] };
        let sum = |pair: &[u32]| double(pair[0], pair[1]);
        let of_part = |part: &[u32]| part.chunks(2).take(samples).map(sum).collect::<Vec<f64>>();
        let mut values: Vec<f64> = pairs.chunks(2 * self.extent.part_rows as usize).flat_map(of_part).collect();
        values.chunks_mut(samples).for_each(|part| project(part, root));
        values
    }
}

/// Elements of the two gradients in a row of a panel, and their first elements among all parameters.
fn panel(layer: &Layer, source: &GradientSource) -> ([u32; 2], [Option<u64>; 2]) {
    match (source, layer.linear) {
        (GradientSource::Panel { outputs: Some([first, end]) }, Some([inputs, _])) => {
            let skipped = [u64::from(first * inputs), u64::from(*first)];
            let at = [0, 1].map(|i| layer.first[i].map(|start| start + skipped[i]));
            ([(end - first) * inputs, end - first], at)
        }
        _ => (layer.elements, layer.first),
    }
}
