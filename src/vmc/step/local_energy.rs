//! Local-energy pipeline: sampling, deduplication, connected configurations and local energies. Steps 1 to 4 of the
//! journey in ARCHITECTURE.md.

use std::ops::Deref;
use std::sync::Arc;

use super::budget::{Batch, Budget, StepPartition};
use super::buffers::{INPUT_WORDS, SampleSource, StepBuffers, StepInputs};
use super::dedup::{COUNTER_STRIDE, DedupSpans};
use super::enumeration::Enumeration;
use super::kind::{Draws, SamplerKind, columns, sampler};
use super::samplers::amplitude_table::AmplitudeTable;
use super::tables::{HostTables, TableLimits, Tables};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::nn::cast_f16::WeightsCastF16;
use crate::kernels::vmc::dedup::Dedup;
use crate::kernels::vmc::energy::{COLUMNS, EnergyLocal, EnergyShape, EnergySites, Statistics};
use crate::kernels::vmc::rows::Window;
use crate::model::{Model, Parameters, check_exclusions, check_sector};
use crate::physics::{Lattice, Patching, Terms};

/// Settings of a [`LocalEnergyPipeline`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalEnergyConfig {
    /// B
    pub samples: u32,
    /// Whether gradients will be computed, for which the network needs buffers.
    pub training: bool,
    /// Whether equal samples are deduplicated.
    pub unique: bool,
    /// Memory budget in bytes.
    pub memory: u64,
    /// Draws of its samples.
    pub draws: Draws,
    /// Minimum number of samples of a gradient pass, or all samples if there are fewer.
    pub least_chunk: u32,
}

/// Wave function, Hamiltonian and settings of a [`LocalEnergyPipeline`], before its memory is divided.
pub(crate) struct PipelineBuilder<'a> {
    gpu: &'a Gpu,
    lattice: &'a Lattice,
    model: &'a dyn Model,
    parameters: &'a Parameters,
    patching: Patching,
    tables: Arc<Tables>,
    batch: Batch,
    config: LocalEnergyConfig,
    /// Enumerated configurations, and where the moves lead from each of them.
    enumerated: Option<(&'a Enumeration, Vec<u32>)>,
    /// Bytes of parameters and tables.
    fixed: u64,
}

impl<'a> PipelineBuilder<'a> {
    /// Checks that wave function and Hamiltonian go together, and uploads the tables of the Hamiltonian. If all samples
    /// are among the configurations of `enumeration`, their amplitude ratios are looked up.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Settings`] if they do not; as [`Model::patching`] and [`Gpu::buffer`].
    pub(crate) fn new(
        gpu: &'a Gpu,
        lattice: &'a Lattice,
        terms: &Terms,
        model: &'a dyn Model,
        parameters: &'a Parameters,
        (config, enumeration): (LocalEnergyConfig, Option<&'a Enumeration>),
    ) -> Result<Self> {
        let patching = model.patching(lattice)?;
        check_sector(model, terms)?;
        check_exclusions(model, lattice, terms)?;
        let limits = TableLimits::new(gpu, config.memory);
        let host = HostTables::new(terms, &patching, model.chains().is_none(), model.is_complex(), limits)?;
        let fixed = gpu.dry_run(|gpu| {
            Parameters::new(gpu, parameters.layout().clone(), parameters.precision())?;
            Tables::new(gpu, host.clone())
        })?;
        let enumerated = enumeration.map(|enumeration| (enumeration, enumeration.connected(&host, &patching)));
        let rows_per_item = match (&enumerated, model.chains()) {
            (Some(_), _) => 1,
            // Without a shared prefix, a row is a whole connected configuration.
            (None, Some(_)) => host.moves.len(),
            (None, None) => host.rows.len(),
        };
        let batch = Batch {
            samples: config.samples,
            training: config.training,
            least_chunk: config.least_chunk,
            sum_rows: model.training_rows(&patching),
            rows_per_item: rows_per_item as u32,
        };
        let tables = Arc::new(Tables::new(gpu, host)?);
        let fixed = fixed.bytes;
        Ok(Self { gpu, lattice, model, parameters, patching, tables, batch, config, enumerated, fixed })
    }

    /// Divides the memory budget without `reserved` bytes. `others` allocates what the budget includes in addition to
    /// the pipeline. Returns the partition and the unused bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Memory`] if the budget or an adapter limit is too small.
    pub(crate) fn fit<T>(
        &self,
        reserved: u64,
        others: impl Fn(&LocalEnergyPipeline) -> Result<T>,
    ) -> Result<(StepPartition, u64)> {
        let budget = Budget { bytes: self.config.memory, fixed: self.fixed + reserved };
        self.batch.fit(budget, |sizes| self.gpu.dry_run(|gpu| others(&self.allocate(gpu, *sizes)?)))
    }

    /// Creates the pipeline.
    ///
    /// # Errors
    /// As [`Model::network`] and [`Gpu::buffer`].
    pub(crate) fn build(&self, sizes: StepPartition) -> Result<LocalEnergyPipeline> {
        self.allocate(self.gpu, sizes)
    }

    fn allocate(&self, gpu: &Gpu, sizes: StepPartition) -> Result<LocalEnergyPipeline> {
        let (model, parameters, config) = (self.model, self.parameters, &self.config);
        let (samples, patches) = (config.samples, self.patching.patches() as u32);
        let parts = 1 + u32::from(model.is_complex());
        let capacity = sizes.capacity(self.batch.rows_per_item);
        let wave_function = model.network(gpu, self.lattice, parameters, capacity)?;
        let rows = [sizes.group, capacity.move_rows, samples];
        let sampler = sampler(gpu, model, wave_function, &self.patching, rows, config.draws)?;
        let groups = DedupSpans::new(gpu, "groups", samples, patches, sizes.group, 0)?;
        let spans = |span| DedupSpans::new(gpu, "spans", samples, patches, span, groups.parts());
        let own_spans = self.batch.own_span(&sizes).map(spans).transpose()?;
        let counters = groups.parts() + own_spans.as_ref().map_or(0, DedupSpans::parts);
        let widest_part = u64::from(own_spans.as_ref().map_or(sizes.group, |spans| spans.part));
        let columns = columns(model, &self.patching);
        let [group, items, connected] = [sizes.group, sizes.items, self.tables.connected()].map(u64::from);
        let padded = u64::from(groups.parts()) * group;
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.{name}"), elements);
        let buffers = StepBuffers {
            tokens: buffer("tokens", padded * u64::from(patches))?,
            log_p: buffer("log_p", padded * u64::from(columns))?,
            phase: (parts == 2).then(|| buffer("phase", padded * u64::from(columns))).transpose()?,
            live: buffer("live", COUNTER_STRIDE * u64::from(counters + 1))?,
            own_counter: COUNTER_STRIDE * u64::from(counters),
            step: buffer("step", INPUT_WORDS)?,
            ratio: buffer("ratio", group * connected * u64::from(parts))?,
            patching: self.patching.clone(),
            tables: self.tables.clone(),
            gpu: gpu.clone(),
            samples,
            columns,
            groups,
            parts,
            sizes,
        };
        let table = self.enumerated.as_ref().map(|(enumeration, connected)| {
            let draws = (padded as u32, config.draws == Draws::Enumerated);
            AmplitudeTable::new(gpu, (enumeration, connected), &self.patching, draws, parts == 2)
        });
        Ok(LocalEnergyPipeline {
            table: table.transpose()?,
            values: buffer("values", padded * u64::from(COLUMNS))?,
            statistics: buffer("statistics", 2 * u64::from(COLUMNS))?,
            hash: buffer("hash", 2 * widest_part)?,
            first: buffer("first", widest_part)?,
            site_energy: buffer("site_energy", items * self.patching.sites() as u64)?,
            unique: config.unique,
            cast_f16: parameters.cast_f16().map(|cast| (cast, parameters.layout().elements())),
            own_spans,
            sampler,
            buffers,
        })
    }
}

/// Local-energy pipeline: sampler, buffers over all samples of a batch, and scratch over a group.
pub(crate) struct LocalEnergyPipeline {
    pub buffers: StepBuffers,
    pub sampler: SamplerKind,
    /// Amplitudes of all configurations, if the samples are enumerated.
    table: Option<AmplitudeTable>,
    unique: bool,
    /// Cast of the parameters to f16, which precedes sampling with new parameters, and its number of elements.
    cast_f16: Option<(WeightsCastF16, u64)>,
    /// Deduplicated samples of the spans of the gradient, if spans differ from groups.
    own_spans: Option<DedupSpans>,
    /// (B, [`COLUMNS`])
    pub values: Buffer,
    /// ([`COLUMNS`], 2)
    pub statistics: Buffer,
    hash: Buffer,
    first: Buffer,
    site_energy: Buffer,
}

impl Deref for LocalEnergyPipeline {
    type Target = StepBuffers;

    fn deref(&self) -> &StepBuffers {
        &self.buffers
    }
}

impl LocalEnergyPipeline {
    /// Creates a pipeline without gradients within the memory budget of `config`.
    ///
    /// # Errors
    /// As [`PipelineBuilder::new`], [`PipelineBuilder::fit`] and [`PipelineBuilder::build`].
    pub(crate) fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        terms: &Terms,
        model: &dyn Model,
        parameters: &Parameters,
        config: LocalEnergyConfig,
    ) -> Result<Self> {
        let builder = PipelineBuilder::new(gpu, lattice, terms, model, parameters, (config, None))?;
        let (sizes, _) = builder.fit(0, |_| Ok(()))?;
        builder.build(sizes)
    }

    /// Returns the spans over which the gradient is computed.
    pub(crate) fn spans(&self) -> &DedupSpans {
        self.own_spans.as_ref().unwrap_or(&self.groups)
    }

    /// Records all passes from sampling to statistics.
    pub(crate) fn record(&self, plan: &mut Plan, source: SampleSource) -> Result<()> {
        self.record_batch(plan, source)?;
        for g in 0..self.groups.parts() {
            plan.scope("sample");
            self.record_group(plan, g, source)?;
            self.record_dedup(plan, &self.groups, g)?;
            if self.table.is_none() {
                plan.scope("moves");
                self.record_moves(plan, g, self.groups.samples_of(g))?;
            }
        }
        if self.table.is_some() {
            // Amplitudes of all groups are known.
            plan.scope("moves");
            (0..self.groups.parts()).try_for_each(|g| self.record_moves(plan, g, self.groups.samples_of(g)))?;
        }
        plan.scope("energy");
        let statistics = Statistics {
            values: self.values.view(),
            dedup_of: self.groups.dedup_of.view(),
            statistics: self.statistics.view(),
        };
        statistics.record(plan, self.samples, self.sizes.group)
    }

    /// Records sampling only.
    pub(crate) fn record_draws(&self, plan: &mut Plan, source: SampleSource) -> Result<()> {
        self.record_batch(plan, source)?;
        (0..self.groups.parts()).try_for_each(|g| self.record_group(plan, g, source))
    }

    /// Records the samples of group `g` with their log P.
    fn record_group(&self, plan: &mut Plan, g: u32, source: SampleSource) -> Result<()> {
        match &self.table {
            // The batch has them.
            Some(table) if table.has_draws() && source == SampleSource::Drawn => Ok(()),
            _ => self.sampler.record_group(plan, &self.buffers, g, source),
        }
    }

    /// Records the work that precedes all groups.
    fn record_batch(&self, plan: &mut Plan, source: SampleSource) -> Result<()> {
        self.record_cast_f16(plan)?;
        match (source, &self.table, self.sampler.unnormalized()) {
            (SampleSource::Fixed, _, _) => Ok(()),
            (SampleSource::Drawn, Some(table), Some(network)) => table.record_draws(plan, network, &self.buffers),
            (SampleSource::Drawn, _, _) => self.sampler.record_batch(plan, &self.buffers),
        }
    }

    /// Restarts the Markov chains, if there are any, and runs their burn-in with the current parameters. Required
    /// before the first batch is drawn. `trained` is `false` for initial parameters, for which ψ is nearly flat.
    ///
    /// # Errors
    /// As [`Plan::launch`] and [`Plan::run`].
    pub(crate) async fn restart(&self, seed: u64, step: u64, trained: bool) -> Result<()> {
        match self.burn_in(StepInputs::of_samples(seed, step), trained)? {
            Some(plan) => plan.run_async().await,
            None => Ok(()),
        }
    }

    /// Returns the plan of [`Self::restart`] for the step of `inputs`, for chains that start now; `None` if there are no
    /// chains.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn burn_in(&self, inputs: StepInputs, trained: bool) -> Result<Option<Plan>> {
        let Some((chains, network)) = self.sampler.chains() else { return Ok(None) };
        self.write_step(inputs)?;
        chains.start(&self.gpu, &self.patching, inputs.seed, inputs.step)?;
        let mut plan = Plan::new(&self.gpu);
        self.record_cast_f16(&mut plan)?;
        chains.record_burn_in(&mut plan, network, &self.buffers, trained)?;
        Ok(Some(plan))
    }

    /// Records the local energies of the first `samples` samples that were drawn. Requires a single group without
    /// deduplication.
    pub(crate) fn record_local_energies(&self, plan: &mut Plan, samples: u32) -> Result<()> {
        plan.scope("moves");
        self.record_dedup(plan, &self.groups, 0)?;
        self.record_moves(plan, 0, samples)
    }

    fn record_cast_f16(&self, plan: &mut Plan) -> Result<()> {
        plan.scope("sample");
        self.cast_f16.as_ref().map_or(Ok(()), |(cast, elements)| cast.record(plan, *elements))
    }

    /// Records the deduplication of part `p` of `spans`.
    pub(crate) fn record_dedup(&self, plan: &mut Plan, spans: &DedupSpans, p: u32) -> Result<()> {
        let unique = Dedup {
            tokens: spans.of_part(&self.tokens, p, self.patches())?,
            hash: self.hash.view(),
            first: self.first.view(),
            dedup_of: spans.of_part(&spans.dedup_of, p, 1)?,
            sample_of: spans.of_part(&spans.sample_of, p, 1)?,
            count: spans.of_part(&spans.count, p, 1)?,
            live: spans.counter(&self.live, p)?,
        };
        unique.record(plan, spans.samples_of(p), self.patches(), self.unique)?;
        plan.write_indirect_args(&self.live)
    }

    /// Records the deduplication of spans, if they differ from groups.
    pub(crate) fn record_own_spans(&self, plan: &mut Plan) -> Result<()> {
        let Some(spans) = &self.own_spans else { return Ok(()) };
        plan.scope("sample");
        (0..spans.parts()).try_for_each(|span| self.record_dedup(plan, spans, span))
    }

    /// Records the local energies of the first `samples` deduplicated samples of group `g`, or of all if there are
    /// fewer.
    fn record_moves(&self, plan: &mut Plan, g: u32, samples: u32) -> Result<()> {
        let mut first = 0;
        while first < samples {
            let most = self.sizes.items.min(samples - first);
            let window = self.groups.window(&self.live, g, first, most)?;
            match &self.table {
                Some(table) => table.record_ratios(plan, &self.buffers, g, &window)?,
                None => self.sampler.record_ratios(plan, &self.buffers, g, &window)?,
            }
            self.record_energies(plan, g, &window)?;
            first += most;
        }
        Ok(())
    }

    /// Records local energies and observables of a window.
    fn record_energies(&self, plan: &mut Plan, g: u32, window: &Window) -> Result<()> {
        let (tables, host) = (&self.tables, &self.tables.host);
        let tokens = self.groups.of_part(&self.tokens, g, self.patches())?;
        let sample_of = self.groups.of_part(&self.groups.sample_of, g, 1)?;
        let shape = EnergyShape {
            window: window.clone(),
            sites: self.patching.sites() as u32,
            sites_per_patch: self.patching.sites_per_patch() as u32,
            pairs: host.pairs.len() as u32,
            moves: tables.connected(),
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

    /// Views that the values of all samples follow from, with their numbers of words: values of deduplicated samples,
    /// and the deduplicated sample of each sample.
    pub(crate) fn values_to_read(&self) -> [(View, usize); 2] {
        let padded = self.sizes.groups(self.samples) * self.sizes.group;
        let values = (self.values.view(), padded as usize * COLUMNS as usize);
        [values, (self.groups.dedup_of.view(), self.samples as usize)]
    }

    /// Values of each sample, repeats included, [`COLUMNS`] numbers per sample, from the contents of
    /// [`Self::values_to_read`].
    pub(crate) fn rows_of_values(&self, values: &[f32], dedup_of: &[u32]) -> Vec<Vec<f32>> {
        let (group, columns) = (self.sizes.group as usize, COLUMNS as usize);
        let row = |(b, u): (usize, &u32)| {
            let at = (b - b % group + *u as usize) * columns;
            values[at..at + columns].to_vec()
        };
        dedup_of.iter().enumerate().map(row).collect()
    }

    /// Reads the values of each sample, repeats included, [`COLUMNS`] numbers per sample.
    ///
    /// # Errors
    /// As [`View::read_async`].
    pub(crate) async fn read_values(&self) -> Result<Vec<Vec<f32>>> {
        let [(values, words), (dedup_of, samples)] = self.values_to_read();
        let values: Vec<f32> = values.read_async(&self.gpu, words).await?;
        let dedup_of: Vec<u32> = dedup_of.read_async(&self.gpu, samples).await?;
        Ok(self.rows_of_values(&values, &dedup_of))
    }
}
