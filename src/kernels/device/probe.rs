//! Probes of an adapter's peak rates and limits: multiply-adds, memory, shuffles, loop iterations, loads. Their outputs
//! are used only to check the kernels.
//!
//! ```text
//! multiply_add   a[i] ← a[i] · factor + addend, 8·steps times      y[lane] = Σ_i Σ_4 a[i]
//! copy           y[i] = x[i]
//! shuffle        v[i] ← v[i] of lane (lane + s·stride) mod LANES + i      y[lane] = Σ_i (2i + 1) v[i]
//! loop           v ← v · 1664525 + 1013904223 mod 2³²               y[lane] = v
//! load           at(s) = (lane mod 64 + s·stride) mod 512            y[lane] = Σ_s Σ_{i<8} load(at(s) + 64i)
//! ```

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{RandomInputs, kernel, record};

pub(super) static MULTIPLY_ADD: Kernel = kernel!("device", "probe_multiply_add");
pub(super) static COPY: Kernel = kernel!("device", "probe_copy");
pub(super) static SHUFFLE: Kernel = kernel!("device", "probe_shuffle");
pub(super) static LOOP: Kernel = kernel!("device", "probe_loop");
pub(super) static LOAD: Kernel = kernel!("device", "probe_load");

record! {
    /// Probe of multiply-adds: chains in registers.
    #[derive(Debug, Clone)]
    pub(crate) struct ProbeMultiplyAdd {
        /// (lanes)
        pub(crate) y: View,
    }
}

/// Shape of a [`ProbeMultiplyAdd`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainShape {
    /// Number of invocations.
    pub(crate) lanes: u32,
    /// Number of loop iterations, of 8 links per chain each; below 65,535, after which some drivers end a loop.
    pub(crate) steps: u32,
    /// Independent vec4 chains per lane: 2, 4 or 8.
    pub(crate) chains: u32,
}

/// Links of a chain per loop iteration.
const LINKS: u32 = 8;
/// Factor of a link: below one in magnitude, so that chains stay finite, and close to one, so that early links still
/// contribute.
const FACTOR: f32 = -0.999;
const ADDEND: f32 = 0.5;

impl ChainShape {
    /// Arithmetic and memory traffic of the probe.
    pub(crate) fn cost(&self) -> Cost {
        let links = f64::from(self.lanes) * f64::from(self.steps) * f64::from(LINKS * self.chains);
        Cost { flops: 8.0 * links, bytes: 4.0 * f64::from(self.lanes) }
    }
}

impl ProbeMultiplyAdd {
    /// Records the probe.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan, shape: &ChainShape) -> Result<()> {
        plan.launch(&Launch {
            kernel: &MULTIPLY_ADD,
            spec: &[("CHAINS", shape.chains)],
            bindings: &bind!(self.y[shape.lanes.into()]),
            params: &[
                ("lanes", shape.lanes.into()),
                ("steps", shape.steps.into()),
                ("factor", FACTOR.into()),
                ("addend", ADDEND.into()),
            ],
            groups: Rows::from(shape.lanes).groups(64, 1),
            cost: shape.cost(),
            shape: format!("({} lanes, {} steps, {} chains)", shape.lanes, shape.steps, shape.chains),
        })
    }
}

record! {
    /// Probe of memory: a copy.
    #[derive(Debug, Clone)]
    pub(crate) struct ProbeCopy {
        /// (vectors) of four words
        pub(crate) x: View,
        /// (vectors) of four words
        pub(crate) y: View,
    }
}

impl ProbeCopy {
    /// Records a copy of `vectors` vec4s. With 0 it is an empty launch of one workgroup, which measures the cost of a
    /// launch.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan, vectors: u32) -> Result<()> {
        let elements = 4 * u64::from(vectors);
        plan.launch(&Launch {
            kernel: &COPY,
            spec: &[],
            bindings: &bind!(self.x[elements], self.y[elements]),
            params: &[("vectors", vectors.into())],
            groups: Rows::from(vectors.max(1)).groups(256, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * elements as f64 },
            shape: format!("({vectors})"),
        })
    }
}

record! {
    /// Probe of shuffles: values passed around subgroups.
    #[derive(Debug, Clone)]
    pub(crate) struct ProbeShuffle {
        /// (lanes) u32
        pub(crate) y: View,
    }
}

/// Shape of a [`ProbeShuffle`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShuffleShape {
    /// Number of invocations, a multiple of 4·subgroup.
    pub(crate) lanes: u32,
    /// Rounds, of [`SHUFFLES`] shuffles each.
    pub(crate) steps: u32,
    /// Lanes per subgroup: 4, 8, 16, 32 or 64.
    pub(crate) subgroup: u32,
}

/// Shuffles of each lane per step.
pub(crate) const SHUFFLES: u32 = 8;
const STRIDE: u32 = 3;

impl ProbeShuffle {
    /// Records the probe.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan, shape: &ShuffleShape) -> Result<()> {
        plan.launch(&Launch {
            kernel: &SHUFFLE,
            spec: &[("LANES", shape.subgroup)],
            bindings: &bind!(self.y[shape.lanes.into()]),
            params: &[("lanes", shape.lanes.into()), ("steps", shape.steps.into()), ("stride", STRIDE.into())],
            groups: Rows::from(shape.lanes).groups(4 * shape.subgroup, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * f64::from(shape.lanes) },
            shape: format!("({} lanes, {} steps)", shape.lanes, shape.steps),
        })
    }
}

record! {
    /// Probe of loop length: a long loop.
    #[derive(Debug, Clone)]
    pub(crate) struct ProbeLoop {
        /// (lanes) u32
        pub(crate) y: View,
    }
}

/// Maximum number of loop iterations of any kernel of this crate, whatever the driver allows.
pub(crate) const MOST_ITERATIONS: u32 = 60_000;
/// Number of iterations after which some drivers (Mesa's lavapipe 22.3) silently end an invocation.
const TRAP: u32 = 65_535;

impl ProbeLoop {
    /// Records a loop of `steps` iterations in each of `lanes` invocations.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan, lanes: u32, steps: u32) -> Result<()> {
        plan.launch(&Launch {
            kernel: &LOOP,
            spec: &[],
            bindings: &bind!(self.y[lanes.into()]),
            params: &[("lanes", lanes.into()), ("steps", steps.into())],
            groups: Rows::from(lanes).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * f64::from(lanes) },
            shape: format!("({lanes} lanes, {steps} steps)"),
        })
    }
}

record! {
    /// Probe of loads: one kind of load from 16 KiB of memory.
    #[derive(Debug, Clone)]
    pub struct ProbeLoad {
        /// (4 · [`LOAD_VECTORS`])
        pub x: View,
        /// (4 · [`LOAD_VECTORS`]) in a uniform buffer
        pub constants: View,
        /// (lanes)
        pub y: View,
    }
}

/// Kind of load of a [`ProbeLoad`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadKind {
    /// An f32 from a storage buffer.
    StorageF32,
    /// A vec4 from a storage buffer.
    StorageVec4,
    /// A vec4 as a texel if [`Gpu::reads_texels`], otherwise from a storage buffer.
    TexelVec4,
    /// A vec4 from a uniform buffer.
    UniformVec4,
}

impl LoadKind {
    /// All kinds, in the order of the kernel's `KIND`.
    pub const ALL: [Self; 4] = [Self::StorageF32, Self::StorageVec4, Self::TexelVec4, Self::UniformVec4];

    /// Name: type of value and where it is loaded from.
    pub fn name(self) -> &'static str {
        match self {
            Self::StorageF32 => "storage f32",
            Self::StorageVec4 => "storage vec4",
            Self::TexelVec4 => "texel vec4",
            Self::UniformVec4 => "uniform vec4",
        }
    }
}

/// Shape of a [`ProbeLoad`].
#[derive(Debug, Clone, Copy)]
pub struct LoadShape {
    /// Number of invocations.
    pub lanes: u32,
    /// Rounds, of [`LOADS`] loads each.
    pub steps: u32,
    /// Kind of load.
    pub kind: LoadKind,
}

/// Loads of each lane per step.
pub const LOADS: u32 = 8;
/// Number of vec4s that a [`ProbeLoad`] loads from.
pub const LOAD_VECTORS: u32 = 1024;
/// Distance in vec4s between the loads of a step, and number of lanes that load from different addresses.
const LOAD_DISTANCE: u32 = 64;
const LOAD_STRIDE: u32 = 9;

impl ProbeLoad {
    /// Records the probe.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &LoadShape) -> Result<()> {
        let (words, vectors) = (u64::from(LOAD_VECTORS), u64::from(4 * LOAD_VECTORS));
        plan.launch(&Launch {
            kernel: &LOAD,
            spec: &[("KIND", shape.kind as u32)],
            bindings: &bind!(
                words = self.x[words],
                vectors = self.x[vectors],
                fetched = self.x[vectors],
                self.constants[vectors],
                self.y[shape.lanes.into()]
            ),
            params: &[("lanes", shape.lanes.into()), ("steps", shape.steps.into()), ("stride", LOAD_STRIDE.into())],
            groups: Rows::from(shape.lanes).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (vectors as f64 + f64::from(shape.lanes)) },
            shape: format!("({} lanes, {} steps)", shape.lanes, shape.steps),
        })
    }
}

/// Inputs of a [`ProbeLoad`]: integers small enough that sums of them in f32 are exact.
pub(crate) fn load_inputs(random: &mut RandomInputs) -> Vec<f32> {
    random.integers(4 * LOAD_VECTORS as usize, 16).into_iter().map(|v| v as f32 - 8.0).collect()
}

/// Reference in f64: y (lanes) of a [`ProbeLoad`].
pub(crate) fn load_reference(x: &[f32], shape: &LoadShape) -> Vec<f64> {
    let load = |at: u32| -> f64 {
        match shape.kind {
            LoadKind::StorageF32 => x[at as usize].into(),
            _ => x[4 * at as usize..][..4].iter().map(|v| f64::from(*v)).sum(),
        }
    };
    let step = |at: u32| (0..LOADS).map(|i| load(at + LOAD_DISTANCE * i)).sum::<f64>();
    let addresses = LOAD_VECTORS / 2;
    let of_address: Vec<f64> = (0..addresses).map(step).collect();
    let lane =
        |local: u32| (0..shape.steps).map(|s| of_address[((local + s * LOAD_STRIDE) % addresses) as usize]).sum();
    let workgroup: Vec<f64> = (0..64).map(lane).collect();
    workgroup.into_iter().cycle().take(shape.lanes as usize).collect()
}

/// Reference: y (lanes) of a [`ProbeLoop`], exact integers.
pub(crate) fn loop_reference(lanes: u32, steps: u32) -> Vec<u32> {
    let step = |v: u32| v.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (0..lanes).map(|lane| (0..steps).fold(lane, |v, _| step(v))).collect()
}

/// Whether loops of more than 65,535 iterations run to completion on `gpu`.
///
/// # Errors
/// Any error of the device.
pub fn long_loops_end(gpu: &Gpu) -> Result<bool> {
    let (lanes, steps) = (64, TRAP + 1000);
    let y = gpu.buffer("probe", lanes.into())?.view();
    let mut plan = Plan::new(gpu);
    ProbeLoop { y: y.clone() }.record(&mut plan, lanes, steps)?;
    plan.run()?;
    Ok(y.read::<u32>(gpu, lanes as usize)? == loop_reference(lanes, steps))
}

/// Reference in f64: y (lanes) of a [`ProbeMultiplyAdd`].
pub(crate) fn chain_reference(shape: &ChainShape) -> Vec<f64> {
    let (factor, addend) = (f64::from(FACTOR), f64::from(ADDEND));
    let chain = |start: f64| (0..LINKS * shape.steps).fold(start, |a, _| a * factor + addend);
    let lane = |local: u32| {
        let starts = (0..shape.chains).flat_map(|i| (0..4).map(move |c| (i, c)));
        starts.map(|(i, c)| chain(f64::from(c) / 4.0 + f64::from(local + i) / 64.0)).sum()
    };
    let workgroup: Vec<f64> = (0..64).map(lane).collect();
    workgroup.into_iter().cycle().take(shape.lanes as usize).collect()
}

/// Reference: y (lanes) of a [`ProbeShuffle`], exact integers.
pub(crate) fn shuffle_reference(shape: &ShuffleShape) -> Vec<u32> {
    let mut v: Vec<[u32; 8]> = (0..shape.lanes).map(|lane| std::array::from_fn(|i| lane + i as u32)).collect();
    for s in 0..shape.steps {
        let turn = |(lane, _): (usize, &[u32; 8])| {
            let id = lane as u32 % shape.subgroup;
            let source = lane as u32 - id + (id + s * STRIDE) % shape.subgroup;
            std::array::from_fn(|i| v[source as usize][i].wrapping_add(i as u32))
        };
        v = v.iter().enumerate().map(turn).collect();
    }
    let sum = |v: &[u32; 8]| (0..8).fold(0u32, |sum, i| sum.wrapping_add((2 * i as u32 + 1).wrapping_mul(v[i])));
    v.iter().map(sum).collect()
}
