//! ROOM 2, the mathematics: one file per family with its formulas, record types, costs and f64 references.
//!
//! A kernel has one name everywhere: WGSL file, record type, reference, test row, bench row, profiler label, error
//! prefix. [`ALL`] lists them; tests, `ketformer doctor`, `ketformer kernels` and the benches walk that list.

pub mod attention;
mod case;
pub mod chain;
pub mod choice;
pub mod complex_head;
pub mod connected;
pub mod embed;
pub mod energy;
pub mod feed_forward;
pub mod geometry;
pub mod grid;
pub mod head;
pub mod linear;
pub mod metropolis;
pub mod narrow;
pub mod nested;
pub mod norm;
pub mod optimizer;
mod panel;
pub mod phase;
pub mod probe;
mod random;
pub mod rbm;
pub mod recurrent;
pub mod repeat;
pub mod rows;
pub mod spins;
pub mod unique;

pub use case::{Case, Expected, Measured, Named, Values};
pub(crate) use case::{POISON, measure};
pub use random::RandomInputs;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Kernel};

/// A kernel with what is known about it.
pub struct Entry {
    /// Name and text.
    pub kernel: &'static Kernel,
    /// Its formula in one line.
    pub summary: &'static str,
    /// Cases with inputs, f64 results and tolerances, for this adapter. Empty where the adapter cannot run the kernel.
    pub cases: fn(&Gpu) -> Vec<Case>,
}

/// Every kernel of the crate.
pub static ALL: &[Entry] = &[
    grid::RESOLVE_ENTRY,
    embed::FORWARD_ENTRY,
    embed::GRADIENT_ENTRY,
    embed::TABLE_ENTRY,
    feed_forward::ENTRY,
    feed_forward::PANEL_ENTRY,
    head::FORWARD_ENTRY,
    head::SAMPLE_ENTRY,
    head::BACKWARD_ENTRY,
    phase::FORWARD_ENTRY,
    phase::BACKWARD_ENTRY,
    unique::HASH_ENTRY,
    unique::FIRST_ENTRY,
    unique::COMPACT_ENTRY,
    rows::SAMPLES_ENTRY,
    rows::MOVES_ENTRY,
    nested::ROWS_ENTRY,
    nested::ADD_ENTRY,
    nested::SUM_ENTRY,
    energy::RATIO_ENTRY,
    energy::SITES_ENTRY,
    energy::LOCAL_ENTRY,
    energy::STATISTICS_ENTRY,
    energy::WEIGHTS_ENTRY,
    optimizer::SQUARE_ENTRY,
    optimizer::DECIDE_ENTRY,
    optimizer::ADAM_ENTRY,
    repeat::ENTRY,
    connected::COUNT_ENTRY,
    connected::OFFSETS_ENTRY,
    connected::LIST_ENTRY,
    connected::SPINS_ENTRY,
    connected::RATIO_ENTRY,
    chain::PROPOSE_ENTRY,
    chain::ACCEPT_ENTRY,
    complex_head::FORWARD_ENTRY,
    complex_head::BACKWARD_ENTRY,
    spins::ENTRY,
    rbm::AMPLITUDE_ENTRY,
    rbm::RATIO_ENTRY,
    rbm::SLOPES_ENTRY,
    metropolis::SWEEP_ENTRY,
    metropolis::SWEEP_PRIVATE_ENTRY,
    metropolis::ACCEPTANCE_ENTRY,
    narrow::ENTRY,
    geometry::PRODUCT_ENTRY,
    geometry::PRODUCT_PRIVATE_ENTRY,
    geometry::PAIRS_ENTRY,
    geometry::PAIRS_PRIVATE_ENTRY,
    geometry::CENTRE_ENTRY,
    geometry::DOT_ENTRY,
    geometry::TAKE_ENTRY,
    geometry::UPDATE_ENTRY,
    geometry::STEP_ENTRY,
    linear::PRODUCT_ENTRY,
    linear::PRODUCT_PRIVATE_ENTRY,
    linear::PRODUCT_SHARED_ENTRY,
    linear::PRODUCT_PANEL_ENTRY,
    linear::cooperative::COOPERATIVE_ENTRY,
    linear::cooperative::COOPERATIVE_8_ENTRY,
    linear::GRADIENT_ENTRY,
    linear::GRADIENT_PRIVATE_ENTRY,
    linear::GRADIENT_SHARED_ENTRY,
    linear::GRADIENT_PANEL_ENTRY,
    linear::GRADIENT_SUM_ENTRY,
    linear::ACTIVATE_ENTRY,
    norm::FORWARD_ENTRY,
    norm::FORWARD_PRIVATE_ENTRY,
    norm::BACKWARD_ENTRY,
    norm::BACKWARD_PRIVATE_ENTRY,
    norm::GRADIENT_ENTRY,
    attention::FORWARD_ENTRY,
    attention::FORWARD_PRIVATE_ENTRY,
    attention::BACKWARD_QUERY_ENTRY,
    attention::BACKWARD_QUERY_PRIVATE_ENTRY,
    attention::BACKWARD_KEY_ENTRY,
    attention::BACKWARD_KEY_PRIVATE_ENTRY,
    attention::BACKWARD_SHORT_ENTRY,
    attention::SUFFIX_ENTRY,
    attention::SUFFIX_PRIVATE_ENTRY,
    attention::WEIGHTS_ENTRY,
    recurrent::LINKS_ENTRY,
    recurrent::STEP_ENTRY,
    recurrent::STEP_PRIVATE_ENTRY,
    recurrent::BACKWARD_ENTRY,
    recurrent::BACKWARD_PRIVATE_ENTRY,
    attention::linear::STATE_ENTRY,
    attention::linear::FORWARD_ENTRY,
    attention::linear::BACKWARD_QUERY_ENTRY,
    attention::linear::BACKWARD_STATE_ENTRY,
    attention::linear::BACKWARD_KEY_ENTRY,
    attention::linear::SUFFIX_ENTRY,
    attention::relative::FORWARD_ENTRY,
    attention::relative::FORWARD_PRIVATE_ENTRY,
    attention::relative::GRADIENT_ENTRY,
    attention::relative::GRADIENT_PRIVATE_ENTRY,
    probe::MULTIPLY_ADD_ENTRY,
    probe::COPY_ENTRY,
    probe::SHUFFLE_ENTRY,
    probe::LOOP_ENTRY,
    probe::LOAD_ENTRY,
];

/// Looks a kernel up by its name.
///
/// # Errors
/// [`ErrorKind::Settings`] with the nearest names when there is none.
pub fn find(name: &str) -> Result<&'static Entry> {
    ALL.iter().find(|entry| entry.kernel.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|entry| entry.kernel.name).collect();
        Error::new(ErrorKind::Settings, format!("no kernel is called `{name}`; there are {}", names.join(", ")))
    })
}

/// Declares a kernel from its file's name.
macro_rules! kernel {
    ($name:literal) => {
        crate::gpu::Kernel {
            name: $name,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
            shared: crate::kernels::SHARED,
        }
    };
}
pub(crate) use kernel;

/// The files of shaders/shared, for `#import`.
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
    ("online", include_str!("../../shaders/shared/online.wgsl")),
    ("philox", include_str!("../../shaders/shared/philox.wgsl")),
    ("put", include_str!("../../shaders/shared/put.wgsl")),
    ("recurrent", include_str!("../../shaders/shared/recurrent.wgsl")),
    ("relative", include_str!("../../shaders/shared/relative.wgsl")),
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
