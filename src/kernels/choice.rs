//! Which of its forms a kernel takes for a shape: the rule's, what was measured to be faster here, or what was asked for.
//!
//! A kernel that can be run in several ways (with subgroups or without, with more or fewer rows in registers, with more or
//! fewer subgroups to a workgroup) lists them as [`Form`]s in one `Choice`. Its rule gives the default from the
//! adapter's kind and the shape. `ketformer tune` measures forms against each other; only forms that add in the order of
//! the default may replace it, so that a tuning never changes a bit of a result.

use super::linear::Variant;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Asked, Gpu, Rows, Tuning};

/// One way to run a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What people call it; no two forms of a kernel have the same.
    pub name: &'static str,
    /// Which shader.
    pub variant: Variant,
    /// Rows, queries, keys or columns that a lane or a subgroup holds in registers; the number of a tile in workgroup
    /// memory.
    pub tile: u32,
    /// Independent subgroups in a workgroup.
    pub subgroups: u32,
    /// Forms of the same order add in the same order and give the same bits.
    pub order: u32,
}

impl Form {
    /// A form of the kernel with subgroups.
    pub const fn subgroup(name: &'static str, tile: u32, subgroups: u32) -> Self {
        Self { name, variant: Variant::Subgroup, tile, subgroups, order: 0 }
    }

    /// A form of the twin without subgroups.
    pub const fn private(name: &'static str, tile: u32) -> Self {
        Self { name, variant: Variant::Private, tile, subgroups: 1, order: 0 }
    }

    /// A form of the twin with tiles in workgroup memory, the kernel's `tile`-th.
    pub const fn shared(name: &'static str, tile: u32) -> Self {
        Self { name, variant: Variant::Shared, tile, subgroups: 1, order: 0 }
    }

    /// A form with a block of an operand at constant places, `tile` panels of it.
    pub const fn panel(name: &'static str, tile: u32) -> Self {
        Self { name, variant: Variant::Panel, tile, subgroups: 1, order: 0 }
    }

    /// The same, which adds in another order than the forms before it.
    pub const fn order(self, order: u32) -> Self {
        Self { order, ..self }
    }

    /// Lanes of a subgroup.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] where there are none.
    pub(super) fn lanes(&self, gpu: &Gpu, kernel: &str) -> Result<u32> {
        Variant::lanes(gpu).ok_or_else(|| {
            let message = format!("{kernel}: variant {} needs {NO_SUBGROUPS}; take another one", self.name);
            Error::new(ErrorKind::Adapter, message)
        })
    }
}

const NO_SUBGROUPS: &str = "subgroups of one fixed size from 4 to 64 lanes, this adapter has none";

/// The forms of one kernel.
#[derive(Debug)]
pub struct Forms {
    /// Its name; twins count as forms of it.
    pub kernel: &'static str,
    /// Lanes that subgroups must have at least.
    pub least_lanes: u32,
    /// All of them.
    pub all: &'static [Form],
}

impl Forms {
    /// Why `gpu` cannot run a form, whatever the shape.
    pub fn obstacle(&self, gpu: &Gpu, form: &Form) -> Option<String> {
        match (form.variant, Variant::lanes(gpu)) {
            (Variant::Private, _) => None,
            (Variant::Shared, _) => super::linear::shared::obstacle(gpu),
            (Variant::Panel, _) => super::panel::obstacle(gpu),
            (Variant::Subgroup, None) => Some(NO_SUBGROUPS.into()),
            (Variant::Subgroup, Some(lanes)) if lanes < self.least_lanes => {
                Some(format!("subgroups of at least {} lanes, this adapter's have {lanes}", self.least_lanes))
            }
            (Variant::Subgroup, Some(lanes)) => {
                let (needed, most) = (lanes * form.subgroups, gpu.limits().max_compute_invocations_per_workgroup);
                let limit = "this adapter's max_compute_invocations_per_workgroup";
                (needed > most).then(|| format!("workgroups of {needed} invocations, {limit} is {most}"))
            }
        }
    }

    /// The name of the kernel that a form launches.
    pub fn launched(&self, form: &Form) -> String {
        match form.variant {
            Variant::Subgroup => self.kernel.into(),
            Variant::Private => format!("{}_private", self.kernel),
            Variant::Shared => format!("{}_shared", self.kernel),
            Variant::Panel => format!("{}_panel", self.kernel),
        }
    }

    /// The form of this name.
    pub fn find(&self, name: &str) -> Option<&'static Form> {
        self.all.iter().find(|form| form.name == name)
    }

    /// The forms of `variant` that `gpu` runs.
    pub(super) fn here(&self, gpu: &Gpu, variant: Variant) -> Vec<Form> {
        let runs = |form: &&Form| form.variant == variant && self.obstacle(gpu, form).is_none();
        self.all.iter().filter(runs).copied().collect()
    }
}

/// What a rule takes: variant, tile, subgroups.
pub(super) type Taken = (Variant, u32, u32);

/// A kernel's forms, and how one of them is chosen for a shape.
pub(super) struct Choice<S> {
    pub forms: Forms,
    /// The class of a shape, in words. There should be few.
    pub class: fn(&S) -> String,
    /// The form to take where nothing is known. If there is no such form here, it is the first that runs.
    pub rule: fn(&Gpu, &S) -> Taken,
    /// What a form needs that a shape does not have.
    pub needs: fn(&Gpu, &S, &Form) -> Option<String>,
}

impl<S> Choice<S> {
    /// What the adapter or the shape lacks for a form.
    fn obstacle(&self, gpu: &Gpu, shape: &S, form: &Form) -> Option<String> {
        self.forms.obstacle(gpu, form).or_else(|| (self.needs)(gpu, shape, form))
    }

    fn refusal(&self, form: &Form, obstacle: &str) -> Error {
        let message = format!(
            "{}: variant {} needs {obstacle}; take another variant or shape, `ketformer doctor` lists the variants",
            self.forms.kernel, form.name
        );
        Error::new(ErrorKind::Shape, message)
    }

    /// Whether the form that is asked for is one of this kernel.
    pub fn is_forced(&self, gpu: &Gpu) -> bool {
        gpu.forced().is_some_and(|name| self.forms.find(name).is_some())
    }

    /// The form to take for `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where the adapter or the shape rules out the form that is asked for, or all of them.
    pub fn take(&self, gpu: &Gpu, shape: &S) -> Result<&'static Form> {
        let open = |form: &&'static Form| self.obstacle(gpu, shape, form).is_none();
        let wanted = (self.rule)(gpu, shape);
        let is_wanted = |form: &&'static Form| (form.variant, form.tile, form.subgroups) == wanted;
        let mut all = self.forms.all.iter();
        let Some(default) = all.clone().filter(open).find(is_wanted).or_else(|| all.find(open)) else {
            let first = &self.forms.all[0];
            return Err(self.refusal(first, &self.obstacle(gpu, shape, first).unwrap_or_default()));
        };
        let alike = |form: &Form| form.order == default.order && self.obstacle(gpu, shape, form).is_none();
        let class = (self.class)(shape);
        let forced = gpu.forced().and_then(|name| self.forms.find(name));
        let taken = match forced {
            Some(form) => match self.obstacle(gpu, shape, form) {
                Some(obstacle) => return Err(self.refusal(form, &obstacle)),
                None => form,
            },
            None => {
                let tuned = gpu.tuning().get(self.forms.kernel, &class);
                tuned.and_then(|p| self.forms.find(&p.form)).filter(|form| alike(form)).unwrap_or(default)
            }
        };
        gpu.hear(|| Asked {
            kernel: self.forms.kernel,
            class,
            default: default.name,
            taken: taken.name,
            alike: self.forms.all.iter().filter(|form| alike(form)).map(|form| form.name).collect(),
            all: self.forms.all.iter().map(|form| form.name).collect(),
            forced: forced.is_some(),
        });
        Ok(taken)
    }

    /// The forms of `variant` to run a case in: each that runs, or without `all` one, each in its `turn`.
    pub fn of_case(&self, gpu: &Gpu, variant: Variant, shape: &S, all: bool, turn: usize) -> Vec<Form> {
        let mut forms = self.forms.here(gpu, variant);
        forms.retain(|form| (self.needs)(gpu, shape, form).is_none());
        if all || forms.is_empty() { forms } else { vec![forms[turn % forms.len()]] }
    }
}

/// The upper end of the class of a width: 8, 64, 512, 4096, …
pub(super) fn width_class(width: u32) -> u32 {
    (0..).map(|power| 8u32.saturating_pow(power + 1)).find(|end| *end >= width).unwrap_or(u32::MAX)
}

/// Rows beyond which every adapter is busy whatever the tiles are.
const MANY: u32 = 2048;

/// The class of a number of rows.
pub(super) fn rows_class(rows: &Rows) -> &'static str {
    if rows.most > MANY { "many rows" } else { "few rows" }
}

/// The forms of every kernel that has several.
pub static FORMS: &[&Forms] = &[
    &super::linear::PRODUCT_CHOICE.forms,
    &super::linear::GRADIENT_CHOICE.forms,
    &super::feed_forward::CHOICE.forms,
    &super::norm::FORWARD_CHOICE.forms,
    &super::norm::BACKWARD_CHOICE.forms,
    &super::attention::FORWARD_CHOICE.forms,
    &super::attention::BACKWARD_QUERY_CHOICE.forms,
    &super::attention::BACKWARD_KEY_CHOICE.forms,
    &super::attention::BACKWARD_SHORT_CHOICE.forms,
    &super::attention::SUFFIX_CHOICE.forms,
    &super::attention::relative::FORWARD_CHOICE.forms,
    &super::attention::relative::GRADIENT_CHOICE.forms,
    &super::recurrent::STEP_CHOICE.forms,
    &super::recurrent::BACKWARD_CHOICE.forms,
    &super::metropolis::SWEEP_CHOICE.forms,
    &super::geometry::PRODUCT_CHOICE.forms,
    &super::geometry::PAIRS_CHOICE.forms,
];

/// What of a tuning `gpu` cannot follow and ignores: a kernel or a form that there is not, or that the adapter cannot run.
/// One line for people, `None` where all is well.
pub fn tuning_doubt(gpu: &Gpu, tuning: &Tuning) -> Option<String> {
    let doubt = |(kernel, _, preferred): (&str, &str, &crate::gpu::Preferred)| {
        let Some(forms) = FORMS.iter().find(|forms| forms.kernel == kernel) else {
            return Some(format!("has a form for `{kernel}`, which has none to choose"));
        };
        match forms.find(&preferred.form) {
            None => Some(format!("prefers `{}` for {kernel}, which there is not", preferred.form)),
            Some(form) => forms
                .obstacle(gpu, form)
                .map(|obstacle| format!("prefers `{}` for {kernel}, which needs {obstacle}", form.name)),
        }
    };
    tuning.iter().find_map(doubt)
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

    #[test]
    fn forms_of_a_kernel_have_names_of_their_own() {
        for forms in FORMS {
            for (i, form) in forms.all.iter().enumerate() {
                assert!(forms.all[..i].iter().all(|other| other.name != form.name), "{} {}", forms.kernel, form.name);
                let same = |other: &&Form| {
                    (other.variant, other.tile, other.subgroups) == (form.variant, form.tile, form.subgroups)
                };
                assert_eq!(forms.all.iter().filter(same).count(), 1, "{} {}", forms.kernel, form.name);
            }
        }
    }
}
