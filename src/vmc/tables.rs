//! A Hamiltonian's terms as the tables that kernels read, in patch order.

use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;

use crate::gpu::{Buffer, Gpu};
use crate::kernels::nested::LargeTables;
use crate::model::LargeRows;
use crate::physics::{Condition, Patching, Terms};

/// The tables on the host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostTables {
    /// (M) of four u32: first patch, mask, second patch, mask; sorted by first patch.
    pub moves: Vec<[u32; 4]>,
    /// (M) of two u32: first row, condition.
    pub starts: Vec<[u32; 2]>,
    /// (M): amplitude, 1 where the move flips a single site without condition.
    pub amplitudes: Vec<[f32; 2]>,
    /// (R) of four u32: first position whose input is changed, position, move, 0.
    pub rows: Vec<[u32; 4]>,
    /// The rows of large patches among them, where the patching is nested.
    pub large: Option<LargeTables>,
    /// (N + 1) of two words: first pair, field.
    pub sites: Vec<[u32; 2]>,
    /// (pairs) of two words: other site as t·32 + j, coefficient.
    pub pairs: Vec<[u32; 2]>,
    /// (T): bits of the sites of positive staggered sign.
    pub signs: Vec<u32>,
    /// The constant.
    pub constant: f32,
    /// Σ of the staggered signs.
    pub sign_sum: f32,
    /// Whether every site has exactly one unconditional flip, so that σˣ can be estimated.
    pub flips_every_site: bool,
}

/// No second patch.
const NONE: u32 = u32::MAX;

impl HostTables {
    /// The tables of `terms` for a wave function that is complex or not; with `suffixes` the rows of the patches that a move
    /// changes the input of.
    pub fn new(terms: &Terms, patching: &Patching, suffixes: bool, complex: bool) -> Result<Self> {
        terms.check()?;
        if !complex && !terms.is_stoquastic() {
            let message = "a positive off-diagonal amplitude makes the ground state change signs, which Ψ = √P cannot; give \
                           a complex wave function (--vit, or --ptf phase=true), change the sign of the coupling, or where \
                           a Marshall rotation does that, marshall=true";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let patches = patching.patches() as u32;
        let (moves, amplitudes, conditions) = moves(terms, patching);
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
            signs,
            constant: terms.constant as f32,
            sign_sum,
            flips_every_site: flips.iter().all(|count| *count == 1),
        })
    }

    /// Whether some move changes two sites.
    pub fn moves_pairs(&self) -> bool {
        self.moves.iter().any(|change| change[2] != NONE)
    }
}

/// Moves sorted by the first patch they change, with amplitudes and conditions (1: the two sites differ).
fn moves(terms: &Terms, patching: &Patching) -> (Vec<[u32; 4]>, Vec<[f32; 2]>, Vec<u32>) {
    let mut all: Vec<([u32; 4], [f32; 2], u32)> = Vec::new();
    for m in &terms.moves {
        let (t, j) = patching.patch_of()[m.first];
        let condition = u32::from(m.condition == Condition::Antiparallel);
        let amplitude = m.amplitude as f32;
        let entry = match m.second {
            None => ([t, 1 << j, NONE, 0], [amplitude, 1.0], condition),
            Some(second) => {
                let (t2, j2) = patching.patch_of()[second];
                let (first, last) = if t <= t2 { ((t, j), (t2, j2)) } else { ((t2, j2), (t, j)) };
                ([first.0, 1 << first.1, last.0, 1 << last.1], [amplitude, 0.0], condition)
            }
        };
        all.push(entry);
    }
    // Where the Hamiltonian moves nothing, one move of no amplitude keeps the shapes of the pass non-empty.
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

/// Fields and pairs by site in patch order, each pair once.
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

/// The tables on a device.
pub(super) struct Tables {
    pub host: HostTables,
    pub moves: Buffer,
    pub starts: Buffer,
    pub amplitudes: Buffer,
    /// (R) of four u32, for the rows' descriptions.
    pub rows: Buffer,
    /// (R) of two u32, for attention.
    pub row_table: Buffer,
    /// The same on the host.
    pub positions: Arc<[[u32; 2]]>,
    pub large: Option<Arc<LargeRows>>,
    pub sites: Buffer,
    pub pairs: Buffer,
    pub signs: Buffer,
}

impl Tables {
    pub fn new(gpu: &Gpu, host: HostTables) -> Result<Self> {
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

    /// M
    pub fn moves(&self) -> u32 {
        self.host.moves.len() as u32
    }

    /// R
    pub fn rows_per_item(&self) -> u32 {
        self.host.rows.len() as u32
    }
}
