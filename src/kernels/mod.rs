//! GPU kernels: one file per family with its formulas, record types, costs and f64 references.
//!
//! A kernel has the same name everywhere: WGSL file, record type, reference, test row, benchmark row, profiler label
//! and error prefix. [`ALL`] lists all kernels. Tests, `ketformer doctor`, `ketformer kernels` and the benchmarks
//! iterate over it.
//!
//! A shader starts with its formula and the lines `grid`, `reads` and `makes`. Its Rust file has the record type, the
//! cost (FLOPs and bytes) and the f64 reference; the file of the same name in the folder `cases` has its [`Entry`] and
//! test cases. Kernels compute local energies from tables of terms; no Hamiltonian or lattice occurs here by name.
//!
//! The fields of a record are the bindings of the WGSL source and have their names: a launch binds
//! `bind!(self.x[elements])`, and `from_case` finds the buffers of a test case. [`crate::gpu::Plan::launch`] compares
//! the names with those of the source.
//!
//! # Tests
//!
//! - `tests/kernels.rs` compares every kernel with its reference. Outputs are filled with NaN first, and NaN is an
//!   infinite error. A second test checks that every comparison rejects a wrong result. Small shapes run in every
//!   variant of a kernel, large shapes in one variant each, in rotation.
//! - `tests/references.rs` compares every backward reference with finite differences of its forward reference.
//! - `tests/shaders.rs` translates every source, for all values of its constants, for every backend that can run it:
//!   SPIR-V, MSL and HLSL. It fails for a shader that [`ALL`] does not list.
//!
//! # Variants
//!
//! [`variant`] describes the selection. Kernels with subgroup operations have a `_scalar` variant for adapters without
//! subgroups of a fixed size and for widths that are not multiples of 4. The exception is `feed_forward`, which two
//! matrix products replace. Products and weight gradients also have `_tiled` variants with tiles in workgroup memory,
//! for GPUs. Products, weight gradients and the feed-forward part have `_panel` variants for Mesa's driver on the CPU.
//! Products of f16 weights have kernels for cooperative matrices ([`linear::cooperative`]).
//!
//! # Determinism
//!
//! Results have the same bits from run to run on one adapter. Each output has one writer, sums have a fixed order
//! (blocks of at most 512 rows, then the blocks in order), there are no float atomics, and random numbers are
//! counter-based.

pub mod attention;
mod case;
pub mod device;
pub mod gram;
pub mod linear;
pub mod nn;
mod panel;
mod random;
pub mod rbm;
pub mod variant;
pub mod vmc;

use case::record;
pub use case::{Case, CaseBuffers, Comparison, Expected, Values};
pub(crate) use case::{POISON, measure};
pub use random::RandomInputs;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Kernel};

/// Kernel with its summary and test cases.
pub struct Entry {
    /// Name and WGSL source.
    pub kernel: &'static Kernel,
    /// Formula in one line.
    pub summary: &'static str,
    /// Returns the test cases for an adapter: inputs, f64 results and tolerances. Empty if the adapter cannot run the
    /// kernel.
    pub cases: fn(&Gpu) -> Vec<Case>,
}

/// All kernels of the crate.
pub static ALL: &[Entry] = &[
    device::cases::indirect_args::RESOLVE_ENTRY,
    nn::cases::embed::FORWARD_ENTRY,
    nn::cases::embed::GRADIENT_ENTRY,
    nn::cases::embed::TABLE_ENTRY,
    nn::cases::feed_forward::ENTRY,
    nn::cases::feed_forward::PANEL_ENTRY,
    nn::cases::categorical::FORWARD_ENTRY,
    nn::cases::categorical::SAMPLE_ENTRY,
    nn::cases::categorical::BACKWARD_ENTRY,
    nn::cases::phase::FORWARD_ENTRY,
    nn::cases::phase::BACKWARD_ENTRY,
    vmc::cases::dedup::HASH_ENTRY,
    vmc::cases::dedup::FIRST_ENTRY,
    vmc::cases::dedup::COMPACT_ENTRY,
    vmc::cases::rows::SAMPLES_ENTRY,
    vmc::cases::rows::MOVES_ENTRY,
    nn::cases::large_patch::ROWS_ENTRY,
    nn::cases::large_patch::ADD_ENTRY,
    nn::cases::large_patch::SUM_ENTRY,
    vmc::cases::energy::RATIO_ENTRY,
    vmc::cases::energy::SITES_ENTRY,
    vmc::cases::energy::LOCAL_ENTRY,
    vmc::cases::energy::STATISTICS_ENTRY,
    vmc::cases::energy::WEIGHTS_ENTRY,
    nn::cases::adam::SQUARE_ENTRY,
    nn::cases::adam::DECIDE_ENTRY,
    nn::cases::adam::ADAM_ENTRY,
    vmc::cases::repeat::ENTRY,
    vmc::cases::connected::COUNT_ENTRY,
    vmc::cases::connected::OFFSETS_ENTRY,
    vmc::cases::connected::LIST_ENTRY,
    vmc::cases::connected::SPINS_ENTRY,
    vmc::cases::connected::RATIO_ENTRY,
    vmc::cases::metropolis::PROPOSE_ENTRY,
    vmc::cases::metropolis::ACCEPT_ENTRY,
    nn::cases::complex_head::FORWARD_ENTRY,
    nn::cases::complex_head::BACKWARD_ENTRY,
    vmc::cases::spins::ENTRY,
    rbm::cases::amplitude::AMPLITUDE_ENTRY,
    rbm::cases::amplitude::RATIO_ENTRY,
    rbm::cases::amplitude::SLOPES_ENTRY,
    rbm::cases::sweep::SWEEP_ENTRY,
    rbm::cases::sweep::SWEEP_SCALAR_ENTRY,
    rbm::cases::sweep::ACCEPTANCE_ENTRY,
    nn::cases::cast_f16::ENTRY,
    gram::cases::product::PRODUCT_ENTRY,
    gram::cases::product::PRODUCT_SCALAR_ENTRY,
    gram::cases::pairs::PAIRS_ENTRY,
    gram::cases::pairs::PAIRS_SCALAR_ENTRY,
    gram::cases::center::CENTER_ENTRY,
    gram::cases::dot::DOT_ENTRY,
    gram::cases::columns::TAKE_ENTRY,
    gram::cases::direction::UPDATE_ENTRY,
    gram::cases::direction::STEP_ENTRY,
    linear::cases::product::PRODUCT_ENTRY,
    linear::cases::product::PRODUCT_SCALAR_ENTRY,
    linear::cases::product::PRODUCT_TILED_ENTRY,
    linear::cases::product::PRODUCT_PANEL_ENTRY,
    linear::cases::cooperative::COOPERATIVE_ENTRY,
    linear::cases::cooperative::COOPERATIVE_8_ENTRY,
    linear::cases::gradient::GRADIENT_ENTRY,
    linear::cases::gradient::GRADIENT_SCALAR_ENTRY,
    linear::cases::gradient::GRADIENT_TILED_ENTRY,
    linear::cases::gradient::GRADIENT_PANEL_ENTRY,
    linear::cases::gradient::GRADIENT_SUM_ENTRY,
    linear::cases::activate::ACTIVATE_ENTRY,
    nn::cases::norm::FORWARD_ENTRY,
    nn::cases::norm::FORWARD_SCALAR_ENTRY,
    nn::cases::norm::BACKWARD_ENTRY,
    nn::cases::norm::BACKWARD_SCALAR_ENTRY,
    nn::cases::norm::GRADIENT_ENTRY,
    attention::cases::forward::FORWARD_ENTRY,
    attention::cases::forward::FORWARD_SCALAR_ENTRY,
    attention::cases::backward::BACKWARD_QUERY_ENTRY,
    attention::cases::backward::BACKWARD_QUERY_SCALAR_ENTRY,
    attention::cases::backward::BACKWARD_KEY_ENTRY,
    attention::cases::backward::BACKWARD_KEY_SCALAR_ENTRY,
    attention::cases::backward::BACKWARD_SHORT_ENTRY,
    attention::cases::suffix::SUFFIX_ENTRY,
    attention::cases::suffix::SUFFIX_SCALAR_ENTRY,
    attention::cases::weights::WEIGHTS_ENTRY,
    nn::recurrent::cases::links::LINKS_ENTRY,
    nn::recurrent::cases::step::STEP_ENTRY,
    nn::recurrent::cases::step::STEP_SCALAR_ENTRY,
    nn::recurrent::cases::backward::BACKWARD_ENTRY,
    nn::recurrent::cases::backward::BACKWARD_SCALAR_ENTRY,
    attention::linear::cases::states::STATE_ENTRY,
    attention::linear::cases::forward::FORWARD_ENTRY,
    attention::linear::cases::backward::BACKWARD_QUERY_ENTRY,
    attention::linear::cases::states::BACKWARD_STATE_ENTRY,
    attention::linear::cases::backward::BACKWARD_KEY_ENTRY,
    attention::linear::cases::suffix::SUFFIX_ENTRY,
    attention::cases::factored::FORWARD_ENTRY,
    attention::cases::factored::FORWARD_SCALAR_ENTRY,
    attention::cases::factored::GRADIENT_ENTRY,
    attention::cases::factored::GRADIENT_SCALAR_ENTRY,
    device::cases::probe::MULTIPLY_ADD_ENTRY,
    device::cases::probe::COPY_ENTRY,
    device::cases::probe::SHUFFLE_ENTRY,
    device::cases::probe::LOOP_ENTRY,
    device::cases::probe::LOAD_ENTRY,
];

/// Returns the kernel called `name`.
///
/// # Errors
/// [`ErrorKind::Settings`] if there is none; the message lists all names.
pub fn find(name: &str) -> Result<&'static Entry> {
    ALL.iter().find(|entry| entry.kernel.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|entry| entry.kernel.name).collect();
        Error::new(ErrorKind::Settings, format!("unknown kernel `{name}`; expected one of {}", names.join(", ")))
    })
}

/// Declares a kernel by family and file name.
macro_rules! kernel {
    ($family:literal, $name:literal) => {
        crate::gpu::Kernel {
            name: $name,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $family, "/", $name, ".wgsl")),
            shared: crate::kernels::SHARED,
        }
    };
}
pub(crate) use kernel;

/// Files of shaders/shared, available to `#import`.
pub static SHARED: &[(&str, &str)] = &[
    ("activation", include_str!("../../shaders/shared/activation.wgsl")),
    ("cache", include_str!("../../shaders/shared/cache.wgsl")),
    ("compensated", include_str!("../../shaders/shared/compensated.wgsl")),
    ("complex_cosh", include_str!("../../shaders/shared/complex_cosh.wgsl")),
    ("connected", include_str!("../../shaders/shared/connected.wgsl")),
    ("cooperative", include_str!("../../shaders/shared/cooperative.wgsl")),
    ("epilogue", include_str!("../../shaders/shared/epilogue.wgsl")),
    ("feature", include_str!("../../shaders/shared/feature.wgsl")),
    ("finite", include_str!("../../shaders/shared/finite.wgsl")),
    ("gram", include_str!("../../shaders/shared/gram.wgsl")),
    ("grid", include_str!("../../shaders/shared/grid.wgsl")),
    ("head", include_str!("../../shaders/shared/head.wgsl")),
    ("head_tile", include_str!("../../shaders/shared/head_tile.wgsl")),
    ("load", include_str!("../../shaders/shared/load.wgsl")),
    ("load_changed", include_str!("../../shaders/shared/load_changed.wgsl")),
    ("load_slope", include_str!("../../shaders/shared/load_slope.wgsl")),
    ("log_cosh", include_str!("../../shaders/shared/log_cosh.wgsl")),
    ("metropolis", include_str!("../../shaders/shared/metropolis.wgsl")),
    ("norm", include_str!("../../shaders/shared/norm.wgsl")),
    ("online_softmax", include_str!("../../shaders/shared/online_softmax.wgsl")),
    ("philox", include_str!("../../shaders/shared/philox.wgsl")),
    ("put", include_str!("../../shaders/shared/put.wgsl")),
    ("recurrent", include_str!("../../shaders/shared/recurrent.wgsl")),
    ("factored", include_str!("../../shaders/shared/factored.wgsl")),
    ("recurrent_backward", include_str!("../../shaders/shared/recurrent_backward.wgsl")),
    ("remainder", include_str!("../../shaders/shared/remainder.wgsl")),
    ("sector", include_str!("../../shaders/shared/sector.wgsl")),
    ("sides", include_str!("../../shaders/shared/sides.wgsl")),
    ("state", include_str!("../../shaders/shared/state.wgsl")),
    ("suffix", include_str!("../../shaders/shared/suffix.wgsl")),
    ("tanh", include_str!("../../shaders/shared/tanh.wgsl")),
    ("transpose", include_str!("../../shaders/shared/transpose.wgsl")),
    ("triangle", include_str!("../../shaders/shared/triangle.wgsl")),
    ("weight", include_str!("../../shaders/shared/weight.wgsl")),
];
