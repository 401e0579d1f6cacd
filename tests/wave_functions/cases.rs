//! The table of wave functions, each with weights that are nothing special.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use ketformer::gpu::Gpu;
use ketformer::kernels::RandomInputs;
use ketformer::model::{Activation, Attention, Model, Norm, Position, Precision, Ptf, Start, Weights};
use ketformer::physics::{Lattice, Patch};
use ketformer::vmc;

/// What is known by the name of a case and the seed of its weights.
type Enumerations = BTreeMap<(&'static str, u64), Arc<Vec<f64>>>;

/// A wave function on a lattice small enough to enumerate.
pub struct Case {
    pub name: &'static str,
    pub lattice: Lattice,
    pub model: Box<dyn Model>,
}

/// Every wave function that the laws are tested on.
pub fn cases() -> Vec<Case> {
    let row = |name, lattice, model: Ptf| Case { name, lattice, model: Box::new(model) };
    let ptf =
        |patch, width, heads, layers, feed_forward| Ptf { patch, width, heads, layers, feed_forward, ..Ptf::default() };
    vec![
        row("ptf, 2x2 on 4x4", Lattice::square(4, 4), ptf(Patch::Block([2, 2]), 16, 4, 2, 24)),
        row("ptf, single sites of a chain of 8", Lattice::chain(8), ptf(Patch::Line(1), 12, 3, 2, 20)),
        row(
            "ptf, pairs of a chain of 10, textbook positions",
            Lattice::chain(10),
            Ptf { position: Position::Textbook, ..ptf(Patch::Line(2), 16, 2, 2, 32) },
        ),
        row("ptf, 2x1 on 4x3", Lattice::square(4, 3), ptf(Patch::Block([2, 1]), 8, 2, 2, 16)),
        row("ptf, a single patch", Lattice::square(2, 2), ptf(Patch::Block([2, 2]), 8, 2, 2, 16)),
        row("ptf, three layers, heads of width 5", Lattice::square(2, 4), ptf(Patch::Block([1, 2]), 20, 4, 3, 12)),
        row("ptf, lines of 3 on 3x3, one head, one layer", Lattice::square(3, 3), ptf(Patch::Line(3), 8, 1, 1, 8)),
        row("ptf, 2x3 on 4x3, wide head", Lattice::square(4, 3), ptf(Patch::Block([2, 3]), 36, 1, 1, 40)),
        row(
            "ptf, linear attention over three chunks of a chain of 12",
            Lattice::chain(12),
            Ptf { attention: Attention::Linear, ..ptf(Patch::Line(1), 16, 4, 2, 24) },
        ),
        row(
            "ptf, linear attention, single sites of 3x3, heads of width 5",
            Lattice::square(3, 3),
            Ptf { attention: Attention::Linear, ..ptf(Patch::Block([1, 1]), 20, 4, 2, 24) },
        ),
        row(
            "ptf, norms before the parts of a layer, gelu",
            Lattice::square(3, 4),
            Ptf { norm: Norm::Pre, activation: Activation::Gelu, ..ptf(Patch::Block([1, 2]), 16, 2, 2, 20) },
        ),
        row(
            "ptf, learned positions and start",
            Lattice::chain(9),
            Ptf { position: Position::Learned, start: Start::Learned, ..ptf(Patch::Line(1), 16, 4, 1, 20) },
        ),
        row(
            "ptf, linear attention, norms before, gelu, learned positions and start",
            Lattice::square(3, 4),
            Ptf {
                attention: Attention::Linear,
                norm: Norm::Pre,
                activation: Activation::Gelu,
                position: Position::Learned,
                start: Start::Learned,
                ..ptf(Patch::Block([1, 1]), 12, 4, 2, 20)
            },
        ),
    ]
}

impl Case {
    /// Weights of no symmetry: the initial ones and noise on every tensor, so that layers differ, biases and norms
    /// are not trivial, and some configurations are much likelier than others.
    pub fn weights(&self, seed: u64) -> Weights {
        let mut weights = self.model.layout(&self.lattice).unwrap().initial(seed);
        let mut random = RandomInputs::new(seed + 1000);
        for tensor in weights.tensors.values_mut() {
            let noise = random.floats(tensor.values.len());
            tensor.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.5 * noise);
        }
        weights
    }

    /// log P of all 2^N configurations with [`Case::weights`], enumerated once for all tests.
    pub fn log_p(&self, seed: u64) -> Arc<Vec<f64>> {
        static KNOWN: Mutex<Enumerations> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap();
        let enumerate = || {
            let weights = self.weights(seed);
            vmc::enumerate(gpu(), &self.lattice, &*self.model, &weights, Precision::Single).unwrap().into()
        };
        known.entry((self.name, seed)).or_insert_with(enumerate).clone()
    }

    /// All 2^N configurations, in the order of the states' indices.
    pub fn configurations(&self) -> Vec<Vec<u8>> {
        (0..1 << self.lattice.sites()).map(|index| self.configuration(index)).collect()
    }

    /// The configuration of a state.
    pub fn configuration(&self, index: usize) -> Vec<u8> {
        (0..self.lattice.sites()).map(|site| (index >> site & 1) as u8).collect()
    }

    /// At most `count` configurations, with the empty and the full one.
    pub fn some_configurations(&self, count: usize) -> Vec<Vec<u8>> {
        let states = 1usize << self.lattice.sites();
        if states <= count {
            return self.configurations();
        }
        let random = RandomInputs::new(3).integers(count - 2, states as u32);
        [0, states - 1]
            .into_iter()
            .chain(random.into_iter().map(|i| i as usize))
            .map(|i| self.configuration(i))
            .collect()
    }
}

/// The state that a configuration is.
pub fn index(configuration: &[u8]) -> usize {
    configuration.iter().rev().fold(0, |index, n| index << 1 | usize::from(*n))
}

/// This machine's adapter, opened once for all tests that do not ask how much memory is taken.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one"))
}

/// The weights are worth testing with: P is neither flat nor a single configuration.
#[test]
fn the_cases_are_not_trivial() {
    for case in cases() {
        let p: Vec<f64> = case.log_p(1).iter().map(|log_p| log_p.exp()).collect();
        let (largest, smallest) = p.iter().fold((0.0f64, 1.0f64), |(l, s), p| (l.max(*p), s.min(*p)));
        let effective = 1.0 / p.iter().map(|p| p * p).sum::<f64>();
        println!("{}: {largest:e} {smallest:e} {effective}", case.name);
        assert!(largest > 3.0 * smallest, "{}: P from {smallest:e} to {largest:e}", case.name);
        assert!(effective > 3.0, "{}: {effective} configurations have all the weight", case.name);
    }
}
