//! Synthetic reports: data in the form that a run leaves, made without a GPU.

use std::collections::BTreeMap;

use ketformer::model::AttentionKind;
use ketformer::physics::{Order, Patching};
use ketformer::run::{AdapterRecord, Ending, Report, Resumption, RunEnd, RunSettings, RunState, WeightsOrigin};
use ketformer::vmc::{
    AttentionMaps, ChainReport, Concentration, Estimate, Mean, ObservableEstimates, PartTime, StepReport,
};
use ketformer::{Lattice, Patch};
use serde_json::{Map, Value, json};

/// Pseudorandom numbers from 0 to below 1: high bits of a linear congruential generator (Knuth's MMIX).
pub(crate) struct Noise(pub u64);

impl Noise {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}

/// Synthetic attention maps of `heads` heads in each of `layers` layers between the patches of a lattice.
pub(crate) fn attention(
    lattice: Lattice,
    patch: Patch,
    kind: AttentionKind,
    layers: usize,
    heads: usize,
) -> AttentionMaps {
    let patching = Patching::new(lattice, patch).unwrap();
    let patches: Vec<Vec<usize>> =
        patching.site_of().chunks(patching.sites_per_patch()).map(<[usize]>::to_vec).collect();
    let size = patches.len();
    let mut noise = Noise(5);
    let mut map = |layer: usize, head: usize| {
        let mut map = vec![0.0; size * size];
        for i in 0..size {
            let row = &mut map[i * size..][..size];
            for (j, weight) in row.iter_mut().enumerate() {
                let to = if kind == AttentionKind::Causal { j.saturating_sub(1) } else { j };
                let distance = (lattice.distance_squared(patches[i][0], patches[to][0]) as f64).sqrt();
                let wave = (1.7 * distance * (1.0 + head as f64) / 2.0 + layer as f64).cos();
                *weight = match kind {
                    AttentionKind::Causal if j > i => 0.0,
                    AttentionKind::Relative => wave / (1.0 + distance),
                    _ => (1.5 * wave - 0.3 * distance + 0.4 * noise.next()).exp(),
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
    AttentionMaps { kind, patches, layers, samples: if kind == AttentionKind::Relative { 0 } else { 512 } }
}

/// Report of a run of `steps` steps with checkerboard order.
pub(crate) fn report(title: &str, lattice: Lattice, steps: u64, attention: Option<AttentionMaps>) -> Report {
    let n = lattice.sites() as f64;
    let exact = -0.453_413_2 * n;
    let mut noise = Noise(lattice.sites() as u64);
    let step = |step: u64| {
        let x = step as f64;
        let mut normal = || (0..6).map(|_| noise.next()).sum::<f64>() - 3.0;
        StepReport {
            step,
            energy: exact
                + n * (0.35 * (-x / 40.0).exp() + 0.08 / (1.0 + x / 20.0))
                + 0.02 * normal() * n.sqrt() / (1.0 + x / 80.0),
            energy_error: 0.01,
            variance: n * (0.9 * (-x / 60.0).exp() + 2e-3) * (0.25 * normal()).exp(),
            learning_rate: 5e-4 * (x / 100.0).min(1.0) * (0.5 + 0.5 * (3.1 * x / steps as f64).cos()),
            unique: 180,
            accepted: true,
            seconds: 0.118 + 0.01 * normal().abs() + if step == 1 { 0.9 } else { 0.0 },
            ..StepReport::default()
        }
    };
    let end = RunEnd { cause: Ending::Completed, step: steps };
    let steps: Vec<StepReport> = (1..=steps).map(step).collect();
    let mut snapshot = |flip: usize| -> Vec<u8> {
        let occupied = |site: usize| (lattice.sublattice_sign(site) > 0.0) == flip.is_multiple_of(2);
        (0..lattice.sites()).map(|site| u8::from(noise.next() < if occupied(site) { 0.62 } else { 0.06 })).collect()
    };
    let snapshots = (0..8).map(&mut snapshot).collect();
    Report {
        title: title.into(),
        settings: RunSettings { ended: Some(end), ..settings(lattice) },
        origin: WeightsOrigin { step: Some(end.step), state: RunState::Ended(end) },
        steps,
        lattice,
        exact: Some(exact),
        estimate: estimate(lattice, exact),
        snapshots,
        attention,
        parts: [
            ("sample", 21.4),
            ("distinct", 0.4),
            ("moves", 58.2),
            ("energy", 1.1),
            ("forward", 11.9),
            ("backward", 24.7),
            ("update", 0.8),
        ]
        .map(|(name, milliseconds)| PartTime { name, milliseconds })
        .into(),
    }
}

fn estimate(lattice: Lattice, exact: f64) -> Estimate {
    let sites = lattice.sites();
    let n = sites as f64;
    let correlation = |i: usize, j: usize| {
        let r = (lattice.distance_squared(i, j) as f64).sqrt();
        let sign = lattice.sublattice_sign(i) * lattice.sublattice_sign(j);
        Mean { value: 0.21 * sign * (-0.55 * r).exp(), error: 0.0023 }
    };
    let edge = |site: usize| {
        let (x, y) = lattice.position(site);
        f64::from(u8::from(x == 0 || x + 1 == lattice.lx))
            + f64::from(u8::from(lattice.ly > 1 && (y == 0 || y + 1 == lattice.ly)))
    };
    let mean = |value: f64, error: f64| Mean { value, error };
    let wave = |k: usize| {
        let (a, b) = lattice.position(k);
        let from = |at: usize, length: usize| if length == 1 { 0.0 } else { 2.0 * at as f64 / length as f64 - 1.0 };
        let squared = from(a, lattice.lx).powi(2) + from(b, lattice.ly).powi(2);
        mean(if k == 0 { 0.04 * n + 0.1 } else { 0.06 + 0.9 / (1.0 + 12.0 * squared) }, 0.006)
    };
    Estimate {
        concentration: Concentration::default(),
        samples: 10_000,
        energy: exact + 2.1e-4 * n,
        energy_error: 0.0019 * n.sqrt() / 4.0,
        variance: 3.1e-3 * n,
        v_score: 4.6e-4,
        observables: ObservableEstimates {
            diagonal: [
                (0.2931, 0.0011),
                (0.2012, 0.0017),
                (0.0521, 0.0008),
                (-0.2316, 0.0031),
                (0.2069, 0.0011),
                (0.0481, 0.0007),
            ]
            .map(|(value, error)| mean(value, error))
            .into(),
            sigma_x: Some(mean(0.6217, 0.0014)),
            fluctuations: [mean(0.0843, 0.0052), mean(0.1872, 0.0061)],
            order: Order::Staggered,
            connected: mean(0.0843, 0.0052),
            is_flip_symmetric: false,
            density_per_site: (0..sites).map(|site| mean(0.24 + 0.11 * edge(site), 0.0046)).collect(),
            correlation: (0..sites).map(|i| (0..sites).map(|j| correlation(i, j)).collect()).collect(),
            structure_factor: (0..sites).map(wave).collect(),
        },
        chains: None,
    }
}

/// Diagnostics of Markov chains, for wave functions sampled by MCMC.
pub(crate) fn chains() -> ChainReport {
    ChainReport {
        chains: 256,
        acceptance: 0.431,
        frozen: 0,
        autocorrelation: 1.83,
        effective_samples: 2732.0,
        widening: 1.0,
        needed_samples: 1024,
        blocking_error: 0.0041,
        block: 8,
        r_hat: Some(1.0021),
    }
}

fn settings(lattice: Lattice) -> RunSettings {
    let group = |value: Value| value.as_object().cloned().unwrap_or_else(Map::new);
    let adapter = AdapterRecord {
        name: "llvmpipe (LLVM 15.0.6, 256 bits)".into(),
        backend: "Vulkan".into(),
        kind: "Cpu".into(),
        driver: "llvmpipe".into(),
        driver_info: "Mesa 22.3.6 (LLVM 15.0.6)".into(),
    };
    let change =
        Resumption { step: 400, adapter: adapter.clone(), changes: vec!["lr=2e-4".into(), "steps=600".into()] };
    RunSettings {
        command: format!(
            "ketformer train Lx={} Ly={} K=256 steps=600 seed=17 --ptf patch=2x2 Nh=32 nhead=4 layers=2 --rydberg V=7 delta=1 Omega=1",
            lattice.lx, lattice.ly
        ),
        version: "0.1.0".into(),
        started: Some("2026-12-01T08:32:54Z".into()),
        wall_seconds: Some(223.418),
        adapter,
        seed: 17,
        parameters: 276_752,
        gpu_bytes: 93 << 20,
        resumptions: vec![change],
        device_losses: Vec::new(),
        ended: None,
        train: group(
            json!({"Lx": lattice.lx, "Ly": lattice.ly, "K": 256, "steps": 600, "lr": 5e-4, "schedule": "cosine", "optimizer": "adam"}),
        ),
        groups: BTreeMap::from([
            (
                "ptf".into(),
                group(json!({"patch": "2x2", "Nh": 32, "nhead": 4, "layers": 2, "ffn": 128, "sector": null})),
            ),
            ("rydberg".into(), group(json!({"V": 7.0, "delta": 1.0, "Omega": 1.0}))),
        ]),
    }
}
