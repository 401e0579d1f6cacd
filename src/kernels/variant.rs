//! Variant selection for kernels: heuristic, tuned or forced.
//!
//! A kernel that can run in several ways (with or without subgroups, with more or fewer rows in registers, with more or
//! fewer subgroups per workgroup) lists them as [`Variant`]s in a `VariantSelector`. Its rule picks the default from
//! the kind of adapter and the shape. `ketformer tune` measures the variants against each other. Only variants with the
//! reduction order of the default may replace it, so tuning never changes a bit of a result.
//!
//! Selection of a variant, by `VariantSelector::take`:
//!
//! 1. The variant forced by name ([`Gpu::with_variant`], `ketformer bench --variant`). If the adapter or the shape does
//!    not support it, the result is an error that names the requirement.
//! 2. The variant that the device's [`crate::gpu::Tuning`] prefers for the class of the shape, if it can run and has
//!    the reduction order of the default.
//! 3. The default of the rule. If it cannot run, the first variant that can.
//!
//! Classes are coarse: widths up to 8, 64, 512, …; few or many rows; sequences up to 16, 64, 256, ….
//!
//! A test compares all variants with the same reduction order bit by bit (`tests/kernels.rs`). A variant with another
//! order is only selected by the rule or by name: products and attention in workgroup memory, splits of the keys, a norm,
//! an RBM sweep or the gradient of factored attention without subgroups, and two keys per lane in the short attention
//! backward pass. The choice between this pass and the pair of kernels over queries and keys also changes the order.
//!
//! A new variant is one line in the list of its kernel, and a match arm where it is recorded if it has another shader.
//! Tests, `ketformer doctor`, the benchmarks and the tuning iterate over [`super::VARIANTS`].

use super::strategy::Strategy;
use super::{panel, tiled};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Kernel, Rows, VariantSelection};

/// Variant of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Name, unique among the variants of a kernel.
    pub name: &'static str,
    /// Strategy, which selects the shader.
    pub strategy: Strategy,
    /// Number of rows, queries, keys or columns that a lane or a subgroup holds in registers. For [`Strategy::Tiled`]
    /// it is the index of the tile, for [`Strategy::Panel`] the number of panels.
    pub tile: u32,
    /// Independent subgroups per workgroup.
    pub subgroups: u32,
    /// Whether values are exchanged only within clusters of [`Variants::least_lanes`] lanes, so that subgroups of any size
    /// from that on suffice, and need not have one fixed size.
    pub any_subgroup_size: bool,
    /// Reduction order. Variants with the same value add in the same order and give the same bits.
    pub reduction_order: u32,
    /// Name of the kernel that it launches, if that does not follow from the strategy.
    pub launches: Option<&'static str>,
}

impl Variant {
    const fn new(name: &'static str, strategy: Strategy, tile: u32, subgroups: u32) -> Self {
        Self { name, strategy, tile, subgroups, any_subgroup_size: false, reduction_order: 0, launches: None }
    }

    /// Creates a variant that uses subgroups of one fixed size.
    pub const fn subgroup(name: &'static str, tile: u32, subgroups: u32) -> Self {
        Self::new(name, Strategy::Subgroup, tile, subgroups)
    }

    /// Creates a variant that exchanges values within clusters of lanes, by subgroup operations.
    pub const fn cluster(name: &'static str, tile: u32) -> Self {
        Self { any_subgroup_size: true, ..Self::new(name, Strategy::Subgroup, tile, 1) }
    }

    /// Creates a variant without subgroups.
    pub const fn scalar(name: &'static str, tile: u32) -> Self {
        Self::new(name, Strategy::Scalar, tile, 1)
    }

    /// Creates a variant with tiles in workgroup memory; `tile` is the index of the tile.
    pub const fn tiled(name: &'static str, tile: u32) -> Self {
        Self::new(name, Strategy::Tiled, tile, 1)
    }

    /// Creates a variant that holds a block of an operand, `tile` panels wide, in values with constant indices.
    pub(crate) const fn panel(name: &'static str, tile: u32) -> Self {
        Self::new(name, Strategy::Panel, tile, 1)
    }

    /// Sets the reduction order, which is 0 by default.
    pub(crate) const fn reduction_order(self, reduction_order: u32) -> Self {
        Self { reduction_order, ..self }
    }

    /// Sets the kernel that the variant launches, for a strategy that has several.
    pub(crate) const fn launching(self, kernel: &'static str) -> Self {
        Self { launches: Some(kernel), ..self }
    }

    /// Number of lanes of a subgroup.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] if the adapter has no suitable subgroups.
    pub(super) fn lanes(&self, gpu: &Gpu, kernel: &str) -> Result<u32> {
        Strategy::lanes(gpu).ok_or_else(|| {
            let message = format!("{kernel}: variant {} requires {NO_SUBGROUPS}; use another variant", self.name);
            Error::new(ErrorKind::Adapter, message)
        })
    }
}

const NO_SUBGROUPS: &str = "subgroups of one fixed size from 4 to 64 lanes, this adapter has none";

/// Variants of one kernel.
#[derive(Debug)]
pub struct Variants {
    /// Name of the kernel. Kernels for other strategies count as variants of it.
    pub kernel: &'static str,
    /// Minimum number of lanes of a subgroup.
    pub least_lanes: u32,
    /// All variants.
    pub all: &'static [Variant],
}

impl Variants {
    /// Requirement of a variant that `gpu` does not meet for any shape. `None` if it can run.
    pub fn unsupported_reason(&self, gpu: &Gpu, variant: &Variant) -> Option<String> {
        match (variant.strategy, Strategy::lanes(gpu)) {
            (Strategy::Scalar, _) => None,
            (Strategy::Subgroup, _) if variant.any_subgroup_size => {
                let least = gpu.least_subgroup_lanes().unwrap_or(0);
                let needed = self.least_lanes;
                (least < needed).then(|| match least {
                    0 => format!("subgroups of at least {needed} lanes, this adapter has none"),
                    _ => format!("subgroups of at least {needed} lanes, this adapter's may have {least}"),
                })
            }
            (Strategy::Tiled, _) => tiled::unsupported_reason(gpu),
            (Strategy::Panel, _) => panel::unsupported_reason(gpu),
            (Strategy::Subgroup, None) => Some(NO_SUBGROUPS.into()),
            (Strategy::Subgroup, Some(lanes)) if lanes < self.least_lanes => {
                Some(format!("subgroups of at least {} lanes, this adapter's have {lanes}", self.least_lanes))
            }
            (Strategy::Subgroup, Some(lanes)) => {
                let (needed, most) = (lanes * variant.subgroups, gpu.limits().max_compute_invocations_per_workgroup);
                let limit = "this adapter's max_compute_invocations_per_workgroup";
                (needed > most).then(|| format!("workgroups of {needed} invocations, {limit} is {most}"))
            }
        }
    }

    /// Name of the kernel that a variant launches.
    pub fn launched(&self, variant: &Variant) -> String {
        if let Some(kernel) = variant.launches {
            return kernel.into();
        }
        match variant.strategy {
            Strategy::Subgroup => self.kernel.into(),
            Strategy::Scalar => format!("{}_scalar", self.kernel),
            Strategy::Tiled => format!("{}_tiled", self.kernel),
            Strategy::Panel => format!("{}_panel", self.kernel),
        }
    }

    /// Returns the variant called `name`.
    pub fn find(&self, name: &str) -> Option<&'static Variant> {
        self.all.iter().find(|variant| variant.name == name)
    }

    /// Variants of `strategy` that `gpu` can run.
    pub(super) fn here(&self, gpu: &Gpu, strategy: Strategy) -> Vec<Variant> {
        let runs = |variant: &&Variant| variant.strategy == strategy && self.unsupported_reason(gpu, variant).is_none();
        self.all.iter().filter(runs).copied().collect()
    }
}

/// Result of a rule: strategy, tile, subgroups.
pub(crate) type Selection = (Strategy, u32, u32);

/// Variants of a kernel and the rule that selects one of them for a shape.
pub(crate) struct VariantSelector<S> {
    pub variants: Variants,
    /// Class of a shape, as text. The number of classes should be small.
    pub class: fn(&S) -> String,
    /// Default variant of a shape. If it does not exist or cannot run, the default is the first variant that can run.
    pub rule: fn(&Gpu, &S) -> Selection,
    /// Requirement of a variant that the shape does not meet.
    pub requirement: fn(&Gpu, &S, &Variant) -> Option<String>,
}

impl<S> VariantSelector<S> {
    /// Requirement of a variant that the adapter or the shape does not meet.
    pub(crate) fn unsupported_reason(&self, gpu: &Gpu, shape: &S, variant: &Variant) -> Option<String> {
        self.variants.unsupported_reason(gpu, variant).or_else(|| (self.requirement)(gpu, shape, variant))
    }

    fn refusal(&self, variant: &Variant, unsupported_reason: &str) -> Error {
        let message = format!(
            "{}: variant {} requires {unsupported_reason}; use another variant or shape (`ketformer doctor` lists the \
             variants)",
            self.variants.kernel, variant.name
        );
        Error::new(ErrorKind::Shape, message)
    }

    /// Whether the forced variant is one of this kernel.
    pub(crate) fn is_forced(&self, gpu: &Gpu) -> bool {
        gpu.forced().is_some_and(|name| self.variants.find(name).is_some())
    }

    /// Selects the variant for `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the adapter or the shape rules out the forced variant, or all variants.
    pub(crate) fn take(&self, gpu: &Gpu, shape: &S) -> Result<&'static Variant> {
        let open = |variant: &&'static Variant| self.unsupported_reason(gpu, shape, variant).is_none();
        let wanted = (self.rule)(gpu, shape);
        let is_wanted = |variant: &&'static Variant| (variant.strategy, variant.tile, variant.subgroups) == wanted;
        let mut all = self.variants.all.iter();
        let Some(default) = all.clone().filter(open).find(is_wanted).or_else(|| all.find(open)) else {
            let first = &self.variants.all[0];
            return Err(self.refusal(first, &self.unsupported_reason(gpu, shape, first).unwrap_or_default()));
        };
        let bit_identical = |variant: &Variant| {
            variant.reduction_order == default.reduction_order && self.unsupported_reason(gpu, shape, variant).is_none()
        };
        let class = (self.class)(shape);
        let forced = gpu.forced().and_then(|name| self.variants.find(name));
        let taken = match forced {
            Some(variant) => match self.unsupported_reason(gpu, shape, variant) {
                Some(unsupported_reason) => return Err(self.refusal(variant, &unsupported_reason)),
                None => variant,
            },
            None => {
                let tuned = gpu.tuning().get(self.variants.kernel, &class);
                tuned
                    .and_then(|p| self.variants.find(&p.variant))
                    .filter(|variant| bit_identical(variant))
                    .unwrap_or(default)
            }
        };
        gpu.log_selection(|| VariantSelection {
            kernel: self.variants.kernel,
            class,
            default: default.name,
            taken: taken.name,
            bit_identical: self
                .variants
                .all
                .iter()
                .filter(|variant| bit_identical(variant))
                .map(|variant| variant.name)
                .collect(),
            all: self.variants.all.iter().map(|variant| variant.name).collect(),
            forced: forced.is_some(),
            reason: self.reason(gpu, shape, taken, default),
        });
        Ok(taken)
    }

    /// Why `taken` was selected instead of other variants.
    fn reason(&self, gpu: &Gpu, shape: &S, taken: &Variant, default: &Variant) -> String {
        if self.is_forced(gpu) {
            return "forced by name".into();
        }
        if taken != default {
            return "measured to be faster by `ketformer tune`".into();
        }
        match taken.strategy {
            Strategy::Tiled if gpu.is_software() => "faster than the others at this shape".into(),
            Strategy::Tiled => "a GPU with workgroup memory for the tiles".into(),
            Strategy::Panel => "Mesa's software driver, which reads textures faster than buffers".into(),
            Strategy::Subgroup if taken.any_subgroup_size => {
                format!("subgroups of at least {} lanes", self.variants.least_lanes)
            }
            Strategy::Subgroup => {
                format!("subgroups of {} lanes, of one size", gpu.subgroup_size().unwrap_or_default())
            }
            Strategy::Scalar => {
                let mut others = self.variants.all.iter().rev().filter(|variant| variant.strategy != Strategy::Scalar);
                let refusal = |variant: &Variant| {
                    let reason = self.unsupported_reason(gpu, shape, variant)?;
                    Some(format!("{} requires {reason}", variant.name))
                };
                others.find_map(refusal).unwrap_or_else(|| "faster than the others at this shape".into())
            }
        }
    }

    /// Variants of `strategy` that a case runs: all that can run with `all`, otherwise the one with index `turn` modulo
    /// their number.
    pub(crate) fn of_case(&self, gpu: &Gpu, strategy: Strategy, shape: &S, all: bool, turn: usize) -> Vec<Variant> {
        self.some_of(self.variants.here(gpu, strategy), gpu, shape, all, turn)
    }

    /// The same for the variants that launch `kernel`, if a strategy has several.
    pub(crate) fn of_kernel(&self, gpu: &Gpu, kernel: &Kernel, shape: &S, all: bool, turn: usize) -> Vec<Variant> {
        let of_kernel = |variant: &&Variant| {
            self.variants.launched(variant) == kernel.name && self.variants.unsupported_reason(gpu, variant).is_none()
        };
        self.some_of(self.variants.all.iter().filter(of_kernel).copied().collect(), gpu, shape, all, turn)
    }

    fn some_of(&self, mut variants: Vec<Variant>, gpu: &Gpu, shape: &S, all: bool, turn: usize) -> Vec<Variant> {
        variants.retain(|variant| (self.requirement)(gpu, shape, variant).is_none());
        if all || variants.is_empty() { variants } else { vec![variants[turn % variants.len()]] }
    }
}

/// Upper end of the class of a width: 8, 64, 512, 4096, …
pub(super) fn width_class(width: u32) -> u32 {
    (0..).map(|power| 8u32.saturating_pow(power + 1)).find(|end| *end >= width).unwrap_or(u32::MAX)
}

/// Number of rows above which every adapter is busy regardless of the tiles.
const MANY: u32 = 2048;

/// Class of a number of rows.
pub(super) fn rows_class(rows: &Rows) -> &'static str {
    if rows.capacity > MANY { "many rows" } else { "few rows" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_fall_into_few_classes() {
        for (width, end) in [(1, 8), (8, 8), (9, 64), (64, 64), (65, 512), (2048, 4096), (u32::MAX, u32::MAX)] {
            assert_eq!(width_class(width), end, "{width}");
        }
    }
}
