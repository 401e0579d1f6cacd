//! Reports that tests draw.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Report;
use crate::model::AttentionKind;
use crate::physics::{Lattice, Patch, Patching};
use crate::run::{AdapterRecord, RunSettings};
use crate::vmc::{AttentionMaps, Estimate, Magnetisation, Mean, ObservableEstimates, PartTime, StepReport};

/// Weights that fall with the distance of patches, causal, with rows that add up to 1.
pub fn causal(lattice: &Lattice, patch: [usize; 2], layers: usize, heads: usize) -> AttentionMaps {
    let patch = if lattice.ly == 1 { Patch::Line(patch[0] * patch[1]) } else { Patch::Block(patch) };
    maps(lattice, patch, AttentionKind::Causal, layers, heads)
}

/// Weights of both signs by the distance, of `side` × `side` patches.
pub fn relative(lattice: &Lattice, side: usize, heads: usize) -> AttentionMaps {
    maps(lattice, Patch::Block([side, side]), AttentionKind::Relative, if side == 1 { 2 } else { 1 }, heads)
}

fn maps(lattice: &Lattice, patch: Patch, kind: AttentionKind, layers: usize, heads: usize) -> AttentionMaps {
    let patching = Patching::new(*lattice, patch).unwrap();
    let patches: Vec<Vec<usize>> =
        patching.site_of().chunks(patching.sites_per_patch()).map(<[usize]>::to_vec).collect();
    let size = patches.len();
    let map = |layer: usize, head: usize| {
        let mut map = vec![0.0; size * size];
        for i in 0..size {
            let row = &mut map[i * size..][..size];
            for (j, weight) in row.iter_mut().enumerate() {
                let to = if kind == AttentionKind::Causal { j.saturating_sub(1) } else { j };
                let distance = (lattice.distance_squared(patches[i][0], patches[to][0]) as f64).sqrt();
                let wave = (distance * (1.0 + head as f64) + layer as f64).cos();
                *weight = match kind {
                    AttentionKind::Causal if j > i => 0.0,
                    AttentionKind::Relative => wave / (1.0 + distance),
                    _ => (wave - 0.4 * distance).exp(),
                };
            }
            if kind != AttentionKind::Relative {
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
        map
    };
    let layers = (0..layers).map(|layer| (0..heads).map(|head| map(layer, head)).collect()).collect();
    AttentionMaps { kind, patches, layers, samples: if kind == AttentionKind::Relative { 0 } else { 500 } }
}

/// A run on a square lattice, with causal attention between blocks of 2x2 sites.
pub fn square(side: usize) -> Report {
    let lattice = Lattice::square(side, side);
    report(lattice, causal(&lattice, [2, 2], 2, 2))
}

/// A run on a chain, with causal attention between patches of as many sites as fit.
pub fn chain(sites: usize) -> Report {
    let lattice = Lattice::chain(sites);
    let length = (1..=4).rev().find(|length| sites.is_multiple_of(*length)).unwrap_or(1);
    report(lattice, causal(&lattice, [length, 1], 1, 2))
}

fn report(lattice: Lattice, attention: AttentionMaps) -> Report {
    let sites = lattice.sites();
    let n = sites as f64;
    let exact = -0.4534 * n;
    let correlation = |i: usize, j: usize| {
        let r = (lattice.distance_squared(i, j) as f64).sqrt();
        let sign = lattice.sublattice_sign(i) * lattice.sublattice_sign(j);
        Mean { value: 0.21 * sign * (-0.6 * r).exp(), error: 0.002 }
    };
    let mean = |value: f64| Mean { value, error: 0.003 };
    let step = |step: u64| StepReport {
        step,
        energy: exact + n * 0.4 / step as f64 * (1.0 + 0.3 * (step as f64).sin()),
        energy_error: 0.01,
        variance: 3.0 / step as f64 * (1.2 + (step as f64).cos()),
        density: 0.3,
        sigma_x: 0.5,
        staggered: 0.2,
        magnetisation: Magnetisation::default(),
        gradient_norm: 1.0,
        learning_rate: 5e-4,
        unique: 100,
        acceptance: None,
        accepted: true,
        reconfiguration: None,
        seconds: 0.03 + 0.01 * (step as f64).sin().abs(),
    };
    let group = |key: &str, value: Value| Map::from_iter([(key.to_string(), value)]);
    let text = |text: &str| text.to_string();
    Report {
        title: format!("ptf patch=2x2, rydberg, {lattice}"),
        settings: RunSettings {
            command: text("ketformer train L=16 --ptf patch=2x2 --rydberg V=7 delta=1 Omega=1"),
            version: text("0.1.0"),
            adapter: AdapterRecord {
                name: text("llvmpipe"),
                backend: text("Vulkan"),
                kind: text("Cpu"),
                driver: text("llvmpipe"),
                driver_info: text("Mesa"),
            },
            seed: 7,
            parameters: 276_752,
            gpu_bytes: 1 << 26,
            resumptions: Vec::new(),
            train: group("lr", 5e-4.into()),
            groups: BTreeMap::from([
                (text("ptf"), group("patch", "2x2".into())),
                (text("rydberg"), group("V", 7.0.into())),
            ]),
        },
        steps: (1..=60).map(step).collect(),
        lattice,
        exact: Some(exact),
        estimate: Estimate {
            samples: 10_000,
            energy: exact + 0.0004,
            energy_error: 0.0003,
            variance: 0.0031,
            v_score: 4e-5,
            observables: ObservableEstimates {
                density: mean(0.3),
                sigma_x: Some(mean(0.5)),
                staggered: mean(0.2),
                staggered_squared: mean(0.05),
                staggered_fluctuation: mean(0.4),
                density_per_site: (0..sites).map(|site| mean(0.3 + 0.1 * lattice.sublattice_sign(site))).collect(),
                correlation: (0..sites).map(|i| (0..sites).map(|j| correlation(i, j)).collect()).collect(),
                structure_factor: (0..sites).map(|k| mean(0.2 + k as f64 / n)).collect(),
            },
            chains: None,
        },
        snapshots: (0..6).map(|at| (0..sites).map(|site| ((site * 7 + at * 3) % 5 < 2) as u8).collect()).collect(),
        attention: Some(attention),
        parts: ["sample", "moves", "forward", "backward"]
            .iter()
            .zip([12.0, 31.0, 6.0, 9.5])
            .map(|(name, milliseconds)| PartTime { name, milliseconds })
            .collect(),
    }
}
