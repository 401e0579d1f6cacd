//! From parameters to local energies: draw, make distinct, move, add up. Steps 1, 3, 4 and half of 5 of the journey.

use super::budget::{Demand, StepSizes};
use super::chains::Chains;
use super::distinct::{COUNTER_STRIDE, Distinct};
use super::metrics::StepInputs;
use super::sampler::{Sampler, columns, sampler};
use super::tables::{HostTables, Tables};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::energy::{COLUMNS, EnergyLocal, EnergyShape, EnergySites, Statistics};
use crate::kernels::narrow::WeightsNarrow;
use crate::kernels::rows::Window;
use crate::kernels::unique::Unique;
use crate::model::{LargeRows, Model, Parameters, check_sector};
use crate::physics::{Lattice, Patching, Terms};

/// Where configurations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Drawn from the wave function.
    Drawn,
    /// They stand in the tokens already.
    Given,
}

/// What the estimator is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct EstimatorConfig {
    /// B
    pub samples: u32,
    /// Whether gradients will be wanted, so that the network gets room for them.
    pub training: bool,
    /// Treat equal samples as one.
    pub unique: bool,
    /// Bytes for everything.
    pub memory: u64,
    /// Elements of buffers that do not depend on how a step is cut: parameters, gradients, an optimiser's moments.
    pub fixed: u64,
    /// p: Markov chains make samples as frequent as |ψ|^p.
    pub power: f64,
    /// Of the pass with gradient: elements that a sample takes beside the network's, and samples at least.
    pub chunk: [u64; 2],
}

/// Buffers over all samples of a batch and scratch over a group, with the sampler that fills them.
pub(super) struct Estimator {
    pub gpu: Gpu,
    pub patching: Patching,
    pub sampler: Box<dyn Sampler>,
    pub tables: Tables,
    pub sizes: StepSizes,
    pub samples: u32,
    unique: bool,
    /// What must run before drawing with new parameters, and on how many elements.
    narrowing: Option<(WeightsNarrow, u64)>,
    /// (B, T) u32
    pub tokens: Buffer,
    /// (B, columns): what adds up to log P of each sample
    pub log_p: Buffer,
    /// (B, columns): what adds up to the phase of each sample, where the wave function is complex
    pub phase: Option<Buffer>,
    /// Numbers that log P of a sample is the sum of.
    pub columns: u32,
    /// Parts of log ψ: 1 where it is real, else 2.
    pub parts: u32,
    /// The distinct samples of what is drawn and moved together.
    pub groups: Distinct,
    /// Those of what the gradient is taken over, where that is something else.
    own_spans: Option<Distinct>,
    /// One counter for each group, then one for each span that is no group, then one for the wave function's own.
    pub live: Buffer,
    /// Where the last one stands.
    pub own_counter: u64,
    /// (B, [`COLUMNS`])
    pub values: Buffer,
    /// ([`COLUMNS`], 2)
    pub statistics: Buffer,
    /// (4) words: seed (2), step number, learning rate
    pub step: Buffer,
    /// (B, M, parts) of a group
    pub ratio: Buffer,
    hash: Buffer,
    first: Buffer,
    site_energy: Buffer,
    /// Elements that are left within the memory.
    pub spare: u64,
}

impl Estimator {
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        terms: &Terms,
        model: &dyn Model,
        parameters: &Parameters,
        config: EstimatorConfig,
    ) -> Result<Self> {
        let patching = model.patching(lattice)?;
        check_sector(model, terms)?;
        let chains = model.chains();
        let host = HostTables::new(terms, &patching, chains.is_none(), model.is_complex())?;
        let (parts, precision) = (1 + u32::from(model.is_complex()), parameters.precision());
        let (n, m) = (patching.sites() as u64, host.moves.len() as u64);
        let (packed, t) = (host.rows.len() as u64, patching.patches() as u64);
        let mut needs = model.needs(gpu, lattice, precision)?;
        // Without a prefix to share, a row of moves is all of a configuration.
        let r = if chains.is_some() && needs.move_row[0] > 0 { m } else { packed };
        let elements = parameters.layout().elements();
        let narrowing = parameters.narrowing().map(|narrow| (narrow, elements));
        let narrow_words = if narrowing.is_some() { elements.div_ceil(2) } else { 0 };
        let large = host.large.as_ref().map_or(0, |large| LargeRows::elements(large.rows.len() as u64, packed));
        let chain_elements = chains.map_or(0, |chains| Chains::elements(chains, config.samples, t));
        let columns = columns(model, &patching);
        needs.training_sample[0] += config.chunk[0];
        needs.training_sample[1] = needs.training_sample[1].max(config.chunk[0]);
        let demand = Demand {
            samples: config.samples,
            training: config.training,
            fixed: config.fixed + narrow_words + chain_elements,
            needs,
            least_chunk: config.chunk[1] as u32,
            shape: [n, m, r, t],
            columns: columns.into(),
            sum_rows: model.training_rows(&patching),
            parts: parts.into(),
            tables: 8 * m + 10 * packed + 2 * n + 2 * host.pairs.len() as u64 + t + large,
        };
        let sizes = demand.fit(config.memory, gpu.limits().max_storage_buffer_binding_size)?;
        let (samples, patches) = (config.samples, t as u32);
        let capacity = sizes.capacity(r as u32);
        let wave_function = model.network(gpu, lattice, parameters, capacity)?;
        let rows = [sizes.group, capacity.move_rows, samples];
        let sampler = sampler(gpu, model, wave_function, &patching, rows, config.power as f32)?;
        let groups = Distinct::new(gpu, "groups", samples, patches, sizes.group, 0)?;
        let spans = |span| Distinct::new(gpu, "spans", samples, patches, span, groups.parts());
        let own_spans = demand.own_span(&sizes).map(spans).transpose()?;
        let counters = groups.parts() + own_spans.as_ref().map_or(0, Distinct::parts);
        let widest_part = u64::from(own_spans.as_ref().map_or(sizes.group, |spans| spans.part));
        let (group, items) = (u64::from(sizes.group), u64::from(sizes.items));
        let padded = u64::from(groups.parts()) * group;
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.{name}"), elements);
        Ok(Self {
            tokens: buffer("tokens", padded * t)?,
            log_p: buffer("log_p", padded * u64::from(columns))?,
            phase: (parts == 2).then(|| buffer("phase", padded * u64::from(columns))).transpose()?,
            columns,
            parts,
            live: buffer("live", COUNTER_STRIDE * u64::from(counters + 1))?,
            own_counter: COUNTER_STRIDE * u64::from(counters),
            groups,
            own_spans,
            values: buffer("values", padded * u64::from(COLUMNS))?,
            statistics: buffer("statistics", 2 * u64::from(COLUMNS))?,
            step: buffer("step", 4)?,
            ratio: buffer("ratio", group * m * u64::from(parts))?,
            hash: buffer("hash", 2 * widest_part)?,
            first: buffer("first", widest_part)?,
            site_energy: buffer("site_energy", items * n)?,
            tables: Tables::new(gpu, host)?,
            gpu: gpu.clone(),
            samples: config.samples,
            spare: config.memory.saturating_sub(demand.bytes(&sizes)) / 4,
            unique: config.unique,
            narrowing,
            patching,
            sampler,
            sizes,
        })
    }

    /// T
    pub fn patches(&self) -> u32 {
        self.patching.patches() as u32
    }

    /// What the gradient is taken over.
    pub fn spans(&self) -> &Distinct {
        self.own_spans.as_ref().unwrap_or(&self.groups)
    }

    /// Records everything from drawing to statistics.
    pub fn record(&self, plan: &mut Plan, source: Source) -> Result<()> {
        self.record_batch(plan, source)?;
        for g in 0..self.groups.parts() {
            plan.scope("sample");
            self.sampler.record_group(plan, self, g, source)?;
            self.record_distinct(plan, &self.groups, g)?;
            plan.scope("moves");
            self.record_moves(plan, g, self.groups.samples_of(g))?;
        }
        plan.scope("energy");
        let statistics = Statistics {
            values: self.values.view(),
            unique_of: self.groups.unique_of.view(),
            statistics: self.statistics.view(),
        };
        statistics.record(plan, self.samples, self.sizes.group)
    }

    /// Records the drawing alone.
    pub fn record_draws(&self, plan: &mut Plan, source: Source) -> Result<()> {
        self.record_batch(plan, source)?;
        (0..self.groups.parts()).try_for_each(|g| self.sampler.record_group(plan, self, g, source))
    }

    /// Records what is done once for all groups.
    fn record_batch(&self, plan: &mut Plan, source: Source) -> Result<()> {
        self.record_narrowing(plan)?;
        if source == Source::Drawn { self.sampler.record_batch(plan, self) } else { Ok(()) }
    }

    /// Makes Markov chains, where samples come from such, begin anew with the parameters as they are now. Needed before the
    /// first batch that is drawn. `trained`: these are no first parameters, for which ψ is nearly flat.
    ///
    /// # Errors
    /// As [`Plan::launch`] and [`Plan::run`].
    pub fn restart(&self, seed: u64, step: u64, trained: bool) -> Result<()> {
        let Some(chains) = self.sampler.chains() else { return Ok(()) };
        self.write_step(seed, step)?;
        chains.start(&self.gpu, &self.patching, seed, step)?;
        let mut plan = Plan::new(&self.gpu);
        self.record_narrowing(&mut plan)?;
        chains.record_burn_in(&mut plan, self, trained)?;
        plan.run()
    }

    /// log P of the first `samples` samples, log |ψ|² where the wave function is not normalised.
    pub fn read_log_p(&self, samples: usize) -> Result<Vec<f64>> {
        read_sums(&self.gpu, &self.log_p, samples, self.columns)
    }

    /// Their phases, zeros where the wave function is real.
    pub fn read_phase(&self, samples: usize) -> Result<Vec<f64>> {
        let zeros = || Ok(vec![0.0; samples]);
        self.phase.as_ref().map_or_else(zeros, |phase| read_sums(&self.gpu, phase, samples, self.columns))
    }

    /// Records the local energies of the first `samples` samples that were drawn, where all are one group and each is
    /// taken as distinct.
    pub fn record_local_energies(&self, plan: &mut Plan, samples: u32) -> Result<()> {
        plan.scope("moves");
        self.record_distinct(plan, &self.groups, 0)?;
        self.record_moves(plan, 0, samples)
    }

    fn record_narrowing(&self, plan: &mut Plan) -> Result<()> {
        plan.scope("sample");
        self.narrowing.as_ref().map_or(Ok(()), |(narrow, elements)| narrow.record(plan, *elements))
    }

    /// Records the search for the distinct configurations of part `p` of `distinct`.
    pub fn record_distinct(&self, plan: &mut Plan, distinct: &Distinct, p: u32) -> Result<()> {
        let unique = Unique {
            tokens: distinct.of_part(&self.tokens, p, self.patches())?,
            hash: self.hash.view(),
            first: self.first.view(),
            unique_of: distinct.of_part(&distinct.unique_of, p, 1)?,
            sample_of: distinct.of_part(&distinct.sample_of, p, 1)?,
            count: distinct.of_part(&distinct.count, p, 1)?,
            live: distinct.counter(&self.live, p)?,
        };
        unique.record(plan, distinct.samples_of(p), self.patches(), self.unique)?;
        plan.resolve_grids(&self.live)
    }

    /// Records the search for the distinct configurations of spans, where these are not groups.
    pub fn record_own_spans(&self, plan: &mut Plan) -> Result<()> {
        let Some(spans) = &self.own_spans else { return Ok(()) };
        plan.scope("sample");
        (0..spans.parts()).try_for_each(|span| self.record_distinct(plan, spans, span))
    }

    /// Records the local energies of the first `samples` distinct samples of group `g`, as far as there are so many.
    fn record_moves(&self, plan: &mut Plan, g: u32, samples: u32) -> Result<()> {
        let mut first = 0;
        while first < samples {
            let most = self.sizes.items.min(samples - first);
            let window = self.groups.window(&self.live, g, first, most)?;
            self.sampler.record_ratios(plan, self, g, &window)?;
            self.record_energies(plan, g, &window)?;
            first += most;
        }
        Ok(())
    }

    /// Local energies and observables of a window.
    fn record_energies(&self, plan: &mut Plan, g: u32, window: &Window) -> Result<()> {
        let (tables, host) = (&self.tables, &self.tables.host);
        let tokens = self.groups.of_part(&self.tokens, g, self.patches())?;
        let sample_of = self.groups.of_part(&self.groups.sample_of, g, 1)?;
        let shape = EnergyShape {
            window: window.clone(),
            sites: self.patching.sites() as u32,
            sites_per_patch: self.patching.sites_per_patch() as u32,
            pairs: host.pairs.len() as u32,
            moves: tables.moves(),
            parts: self.parts,
            constant: host.constant,
            sign_sum: host.sign_sum,
        };
        let sites = EnergySites {
            tokens: tokens.clone(),
            sample_of: sample_of.clone(),
            sites: tables.sites.view(),
            pairs: tables.pairs.view(),
            site_energy: self.site_energy.view(),
        };
        sites.record(plan, &shape)?;
        let local = EnergyLocal {
            tokens,
            sample_of,
            site_energy: self.site_energy.view(),
            ratio: self.ratio.view(),
            amplitudes: tables.amplitudes.view(),
            signs: tables.signs.view(),
            values: self.groups.of_part(&self.values, g, COLUMNS)?,
        };
        local.record(plan, &shape)
    }

    /// Writes the numbers that change from step to step where nothing is trained.
    pub fn write_step(&self, seed: u64, step: u64) -> Result<()> {
        self.step.write(&self.gpu, &StepInputs { seed, step, learning_rate: 0.0 }.words())
    }
}

/// The sums of the first `samples` rows of `numbers`, (samples, columns).
pub(super) fn read_sums(gpu: &Gpu, numbers: &View, samples: usize, columns: u32) -> Result<Vec<f64>> {
    let numbers: Vec<f32> = numbers.read(gpu, samples * columns as usize)?;
    Ok(numbers.chunks(columns as usize).map(|row| row.iter().map(|p| f64::from(*p)).sum()).collect())
}
