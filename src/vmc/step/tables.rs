//! Tables of the terms of a Hamiltonian in patch order, as kernels read them.

use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;

use crate::gpu::{Buffer, Gpu};
use crate::host_memory;
use crate::kernels::nn::large_patch::LargeTables;
use crate::model::LargeRows;
use crate::physics::{Hamiltonian, Lattice, Move, MoveCondition, Patching, Terms};

/// Tables on the host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostTables {
    /// (M) of four u32: first patch, mask, second patch, mask; sorted by first patch.
    pub moves: Vec<[u32; 4]>,
    /// (M) of two u32: first row, condition.
    pub starts: Vec<[u32; 2]>,
    /// (M): amplitude, sign of σˣ if the move flips a single site without condition, otherwise 0.
    pub amplitudes: Vec<[f32; 2]>,
    /// (R) of four u32: first position whose input is changed, position, move, 0.
    pub rows: Vec<[u32; 4]>,
    /// Rows of large patches among them, if the patching has large patches.
    pub large: Option<LargeTables>,
    /// (N + 1) of two words: first pair, field.
    pub sites: Vec<[u32; 2]>,
    /// (pairs) of two words: other site as t·32 + j, coefficient.
    pub pairs: Vec<[u32; 2]>,
    /// Pairs of sites that the Hamiltonian leaves no configuration with both occupied.
    pub exclusions: Vec<[usize; 2]>,
    /// (T): bit mask of the sites with positive staggered sign.
    pub signs: Vec<u32>,
    /// Constant of the Hamiltonian.
    pub constant: f32,
    /// Sum of the staggered signs.
    pub sign_sum: f32,
    /// Whether every site has exactly one unconditional flip, which estimates of σˣ require.
    pub flips_every_site: bool,
}

/// Bytes of the tables on the device for each pair, off-diagonal term and row; on the host those for each pair and row
/// while the tables are built.
const PAIR_BYTES: u64 = 8;
const MOVE_BYTES: u64 = 32;
const ROW_BYTES: u64 = 24;
const ROW_META_BYTES: u64 = 16;
const HOST_PAIR_BYTES: u64 = 64;
const HOST_ROW_BYTES: u64 = 64;
/// Bytes of tables that are built before they are compared with the memory budget.
pub(crate) const SMALL: u64 = 32 << 20;
/// Maximum number of rows, which kernels count in 32 bits.
const MAX_ROWS: u64 = 1 << 28;

/// Limits of the tables of a Hamiltonian on the device, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct TableLimits {
    /// The memory budget, for all of them.
    pub memory: u64,
    /// The largest buffer that the adapter binds, for each of them.
    pub binding: u64,
}

impl TableLimits {
    /// Limits of a device with a budget of `memory` bytes.
    pub fn new(gpu: &Gpu, memory: u64) -> Self {
        Self { memory, binding: gpu.limits().max_storage_buffer_binding_size }
    }

    /// Checks tables of `all` bytes, the largest of which has `largest` bytes. Small tables pass: the memory plan of the
    /// step also counts its other buffers, and its error names a sufficient budget.
    fn check(&self, what: &str, all: u64, largest: u64, remedy: &str) -> Result<()> {
        let Self { memory, binding } = *self;
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let message = if largest > binding {
            format!(
                "{what} take {} MiB in one buffer, this adapter binds at most {} MiB; use {remedy}",
                mebibytes(largest),
                binding >> 20
            )
        } else if all > memory.max(SMALL) {
            let needed = mebibytes(all);
            format!(
                "a memory budget of {} MiB is too small for {what}, which alone take {needed} MiB; give more than \
                 TrainConfig::memory={needed}MiB, or use {remedy}",
                memory >> 20
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Memory, message))
    }
}

/// Checks that the pairs of a Hamiltonian fit on the device and into the memory of this machine, before its terms are
/// built.
///
/// # Errors
/// [`ErrorKind::Memory`] with the required and the allowed memory.
pub fn check_pairs(hamiltonian: &dyn Hamiltonian, lattice: &Lattice, limits: TableLimits) -> Result<()> {
    let pairs = hamiltonian.max_pairs(lattice) as u64;
    let (what, bytes) = ("the pairs of the Hamiltonian", pairs.saturating_mul(PAIR_BYTES));
    limits.check(what, bytes, bytes, "a smaller lattice")?;
    host_memory::check(what, pairs.saturating_mul(HOST_PAIR_BYTES), "use a smaller lattice")
}

/// Checks the sizes of all tables before they are built.
fn check_sizes(terms: &Terms, patching: &Patching, suffixes: bool, limits: TableLimits) -> Result<()> {
    let (patch_of, patches) = (patching.patch_of(), patching.patches() as u64);
    let first = |step: &Move| {
        let sites = [Some(step.first), step.second];
        sites.into_iter().flatten().map(|site| u64::from(patch_of[site].0)).min().unwrap_or(0)
    };
    let rows = if suffixes { terms.moves.iter().map(|step| patches - 1 - first(step)).sum() } else { 0 };
    let remedy = "a larger patch or a smaller lattice";
    if rows > MAX_ROWS {
        let message = format!(
            "the connected configurations recompute {rows} patches of each sample, at most {MAX_ROWS} are possible; use \
             {remedy}"
        );
        return Err(Error::new(ErrorKind::Memory, message));
    }
    let (pairs, moves) = (terms.pairs.len() as u64, terms.moves.len() as u64);
    let bytes = ROW_BYTES * rows + MOVE_BYTES * moves + PAIR_BYTES * pairs;
    let largest = (ROW_META_BYTES * rows).max(PAIR_BYTES * pairs);
    limits.check("the tables of connected configurations", bytes, largest, remedy)?;
    let bytes = HOST_ROW_BYTES * rows + HOST_PAIR_BYTES * pairs;
    host_memory::check("the tables of connected configurations", bytes, &format!("use {remedy}"))
}

/// Marker for no second patch.
const NONE: u32 = u32::MAX;

impl HostTables {
    /// Creates the tables of `terms` for a real or complex wave function. With `suffixes`, includes the rows of the
    /// patches whose input a move changes.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the wave function is real and the Hamiltonian is not stoquastic, [`ErrorKind::Memory`]
    /// if the tables exceed `limits` or the memory of this machine; as [`Terms::check`].
    pub(crate) fn new(
        terms: &Terms,
        patching: &Patching,
        suffixes: bool,
        complex: bool,
        limits: TableLimits,
    ) -> Result<Self> {
        terms.check()?;
        check_sizes(terms, patching, suffixes, limits)?;
        if !complex && !terms.is_stoquastic() {
            let message = "a positive off-diagonal amplitude makes the ground state change signs, which Ψ = √P cannot; \
                           give a complex wave function (a vit, or Ptf::phase=true), change the sign of the coupling, \
                           or rotate one sublattice (Heisenberg::marshall) where that does";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let patches = patching.patches() as u32;
        let (moves, amplitudes, conditions) = connected(terms, patching);
        let (mut starts, mut rows) = (Vec::new(), Vec::new());
        for (m, (change, condition)) in moves.iter().zip(conditions).enumerate() {
            starts.push([rows.len() as u32, condition]);
            let first = if suffixes { change[0] + 1 } else { patches };
            rows.extend((first..patches).map(|p| [change[0] + 1, p, m as u32, 0]));
        }
        let row_table: Vec<[u32; 2]> = rows.iter().map(|row| [row[0], row[1]]).collect();
        let large = patching.sub_patches().map(|sub_patches| LargeTables::new(&row_table, sub_patches as u32));
        let (sites, pairs) = diagonal(terms, patching);
        let lattice = patching.lattice();
        let mut signs = vec![0; patches as usize];
        let mut sign_sum = 0.0;
        for (site, (t, j)) in patching.patch_of().iter().enumerate() {
            let sign = lattice.sublattice_sign(site);
            sign_sum += sign as f32;
            if sign > 0.0 {
                signs[*t as usize] |= 1 << j;
            }
        }
        let mut flips = vec![0; terms.sites()];
        terms.moves.iter().filter(|m| m.second.is_none()).for_each(|m| flips[m.first] += 1);
        Ok(Self {
            moves,
            starts,
            amplitudes,
            rows,
            large,
            sites,
            pairs,
            exclusions: terms.exclusions.clone(),
            signs,
            constant: terms.constant as f32,
            sign_sum,
            flips_every_site: flips.iter().all(|count| *count == 1),
        })
    }

    /// Whether a move has an amplitude other than 0.
    pub(crate) fn is_off_diagonal(&self) -> bool {
        self.amplitudes.iter().any(|[amplitude, _]| *amplitude != 0.0)
    }

    /// These tables with all couplings zero, except for whether there is an off-diagonal one.
    fn without_couplings(&self) -> Self {
        let amplitude = f32::from(u8::from(self.is_off_diagonal()));
        Self {
            amplitudes: self.amplitudes.iter().map(|[_, sign]| [amplitude, *sign]).collect(),
            sites: self.sites.iter().map(|[first, _]| [*first, 0]).collect(),
            pairs: self.pairs.iter().map(|[other, _]| [*other, 0]).collect(),
            ..self.clone()
        }
    }

    /// Whether a move changes two sites.
    pub(crate) fn moves_pairs(&self) -> bool {
        self.moves.iter().any(|change| change[2] != NONE)
    }
}

/// Returns moves sorted by their first changed patch, with amplitudes and conditions (1: the two sites must differ).
fn connected(terms: &Terms, patching: &Patching) -> (Vec<[u32; 4]>, Vec<[f32; 2]>, Vec<u32>) {
    let mut all: Vec<([u32; 4], [f32; 2], u32)> = Vec::new();
    for m in &terms.moves {
        let (t, j) = patching.patch_of()[m.first];
        let condition = u32::from(m.condition == MoveCondition::Antiparallel);
        let amplitude = m.amplitude as f32;
        let entry = match m.second {
            None => ([t, 1 << j, NONE, 0], [amplitude, if m.rotated { -1.0 } else { 1.0 }], condition),
            Some(second) => {
                let (t2, j2) = patching.patch_of()[second];
                let (first, last) = if t <= t2 { ((t, j), (t2, j2)) } else { ((t2, j2), (t, j)) };
                ([first.0, 1 << first.1, last.0, 1 << last.1], [amplitude, 0.0], condition)
            }
        };
        all.push(entry);
    }
    // A diagonal Hamiltonian gets one move of amplitude zero, which keeps the shapes of the pass non-empty.
    if all.is_empty() {
        all.push(([patching.patches() as u32 - 1, 1, NONE, 0], [0.0, 0.0], 0));
    }
    all.sort_by_key(|(change, _, _)| change[0]);
    let mut parts = (Vec::new(), Vec::new(), Vec::new());
    for (change, amplitude, condition) in all {
        parts.0.push(change);
        parts.1.push(amplitude);
        parts.2.push(condition);
    }
    parts
}

/// Returns fields and pairs by site in patch order, each pair once.
fn diagonal(terms: &Terms, patching: &Patching) -> (Vec<[u32; 2]>, Vec<[u32; 2]>) {
    let p = patching.sites_per_patch();
    let order = |site: usize| {
        let (t, j) = patching.patch_of()[site];
        t as usize * p + j as usize
    };
    let mut partners = vec![Vec::new(); patching.site_of().len()];
    for pair in terms.pairs.iter().filter(|pair| pair.coefficient != 0.0) {
        let [a, b] = pair.sites.map(order);
        partners[a.min(b)].push((a.max(b), pair.coefficient as f32));
    }
    let (mut sites, mut pairs) = (Vec::new(), Vec::new());
    for (q, partners) in partners.iter_mut().enumerate() {
        partners.sort_by_key(|(other, _)| *other);
        let field = terms.field.get(patching.site_of()[q]).copied().unwrap_or(0.0) as f32;
        sites.push([pairs.len() as u32, field.to_bits()]);
        pairs.extend(partners.iter().map(|(other, value)| [((other / p) << 5 | (other % p)) as u32, value.to_bits()]));
    }
    sites.push([pairs.len() as u32, 0]);
    (sites, pairs)
}

/// Tables on the device.
pub(crate) struct Tables {
    pub host: HostTables,
    pub moves: Buffer,
    pub starts: Buffer,
    pub amplitudes: Buffer,
    /// (R) of four u32, for the row metadata.
    pub rows: Buffer,
    /// (R) of two u32, for attention.
    pub row_table: Buffer,
    /// Host copy of `row_table`.
    pub positions: Arc<[[u32; 2]]>,
    pub large: Option<Arc<LargeRows>>,
    pub sites: Buffer,
    pub pairs: Buffer,
    pub signs: Buffer,
}

impl Tables {
    pub(crate) fn new(gpu: &Gpu, host: HostTables) -> Result<Self> {
        let positions: Arc<[[u32; 2]]> = host.rows.iter().map(|row| [row[0], row[1]]).collect();
        Ok(Self {
            moves: gpu.upload("ketformer.moves", &host.moves)?,
            starts: gpu.upload("ketformer.moves.starts", &host.starts)?,
            amplitudes: gpu.upload("ketformer.moves.amplitudes", &host.amplitudes)?,
            rows: gpu.upload("ketformer.moves.rows", &host.rows)?,
            row_table: gpu.upload("ketformer.moves.row_table", &positions)?,
            positions,
            large: host.large.as_ref().map(|large| LargeRows::new(gpu, large).map(Arc::new)).transpose()?,
            sites: gpu.upload("ketformer.sites", &host.sites)?,
            pairs: gpu.upload("ketformer.pairs", &host.pairs)?,
            signs: gpu.upload("ketformer.signs", &host.signs)?,
            host,
        })
    }

    /// Writes the couplings of `host`, whose terms must act on the same sites.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if they do not.
    pub(crate) fn write_couplings(&self, gpu: &Gpu, host: &HostTables) -> Result<()> {
        if host.without_couplings() != self.host.without_couplings() {
            let message = "the terms of a Hamiltonian with other couplings must act on the same sites; make a new Trainer \
                           for another Hamiltonian, and where a coupling becomes or was zero";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        self.amplitudes.write(gpu, &host.amplitudes)?;
        self.sites.write(gpu, &host.sites)?;
        self.pairs.write(gpu, &host.pairs)
    }

    /// M
    pub(crate) fn connected(&self) -> u32 {
        self.host.moves.len() as u32
    }

    /// R
    pub(crate) fn rows_per_item(&self) -> u32 {
        self.host.rows.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Ptf};
    use crate::physics::{Patch, Rydberg, Tfim};

    fn limits(memory: u64) -> TableLimits {
        TableLimits { memory, binding: u64::MAX }
    }

    /// Sizes of the tables on the device.
    fn bytes(host: &HostTables) -> u64 {
        let (rows, moves, pairs) = (host.rows.len() as u64, host.moves.len() as u64, host.pairs.len() as u64);
        ROW_BYTES * rows + MOVE_BYTES * moves + PAIR_BYTES * pairs
    }

    #[test]
    fn tables_are_counted_before_they_are_built() {
        let lattice = Lattice::square(48, 48);
        let patching = Ptf { patch: Patch::Block([1, 1]), ..Ptf::default() }.patching(&lattice).unwrap();
        let hamiltonians: [&dyn Hamiltonian; 2] = [&Rydberg::default(), &Tfim::default()];
        for hamiltonian in hamiltonians {
            let terms = hamiltonian.terms(&lattice).unwrap();
            assert!(terms.pairs.len() <= hamiltonian.max_pairs(&lattice));
            let of = |memory| HostTables::new(&terms, &patching, true, false, limits(memory));
            let needed = bytes(&of(1 << 30).unwrap());
            assert!(needed > SMALL && of(needed).is_ok());
            let error = of(needed - 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Memory);
            let advice = format!("more than TrainConfig::memory={}MiB", needed.div_ceil(1 << 20));
            assert!(error.to_string().contains(&advice), "{error}");
        }
    }

    #[test]
    fn pairs_and_rows_beyond_the_budget_are_refused() {
        let lattice = Lattice::square(64, 64);
        let rydberg = Rydberg::default();
        assert!(check_pairs(&rydberg, &lattice, limits(65 << 20)).is_ok());
        let error = check_pairs(&rydberg, &Lattice::square(128, 64), limits(64 << 20)).unwrap_err();
        assert!(error.to_string().contains("alone take 256 MiB"), "{error}");
        let bound = TableLimits { memory: 1 << 40, binding: 128 << 20 };
        let error = check_pairs(&rydberg, &Lattice::square(128, 64), bound).unwrap_err();
        assert!(error.to_string().contains("binds at most 128 MiB"), "{error}");
        assert!(check_pairs(&Tfim::default(), &Lattice::square(256, 256), limits(64 << 20)).is_ok());
        let lattice = Lattice::square(256, 256);
        let patching = Ptf { patch: Patch::Block([1, 1]), ..Ptf::default() }.patching(&lattice).unwrap();
        let terms = Tfim::default().terms(&lattice).unwrap();
        let error = HostTables::new(&terms, &patching, true, false, limits(1 << 50)).unwrap_err();
        assert!(error.to_string().contains("2147450880 patches"), "{error}");
    }
}
