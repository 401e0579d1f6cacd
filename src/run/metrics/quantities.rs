//! Quantities of a training step, one row each. The columns of `metrics.csv` and `metrics.npy` and the scalars of the
//! TensorBoard events follow from the table of a report and have its order.

use std::fmt::Debug;

/// Report of a training step, with the table of its quantities.
pub trait TrainingReport: Debug + Clone + Default + 'static {
    /// What the TensorBoard scalars depend on in addition to the report.
    type Scale: Debug + Copy;

    /// All quantities. The first one is the step and the last one its seconds.
    fn quantities() -> &'static [Quantity<Self>];

    /// Number of the step, counted from 1.
    fn step(&self) -> u64;

    /// Wall time of the step in seconds.
    fn seconds(&self) -> f64;

    /// Whether the parameters were updated.
    fn accepted(&self) -> bool;
}

/// Quantity of a step.
#[derive(Debug)]
pub struct Quantity<R: TrainingReport> {
    /// Value of a step; NaN if it has none.
    pub(in crate::run) get: fn(&R) -> f64,
    /// Column of `metrics.csv`; `None` if it follows from other columns.
    pub(in crate::run) column: Option<Column<R>>,
    /// TensorBoard scalar.
    pub(in crate::run) scalar: Option<Scalar<R>>,
    /// Whether `metrics.npy` has the quantity.
    pub(in crate::run) in_history: bool,
}

/// Column of `metrics.csv`.
#[derive(Debug)]
pub(in crate::run) struct Column<R> {
    pub name: &'static str,
    /// Sets the quantity of a step from a cell. Columns are set in their order.
    pub set: fn(&mut R, f64),
}

/// TensorBoard scalar.
#[derive(Debug)]
pub(in crate::run) struct Scalar<R: TrainingReport> {
    pub tag: &'static str,
    /// Value of the scalar from that of the quantity.
    pub scaled: fn(f64, R::Scale) -> f64,
}

impl<R: TrainingReport> Quantity<R> {
    pub(super) const fn derived(get: fn(&R) -> f64) -> Self {
        Self { get, column: None, scalar: None, in_history: false }
    }

    pub(super) const fn column(name: &'static str, get: fn(&R) -> f64, set: fn(&mut R, f64)) -> Self {
        Self { column: Some(Column { name, set }), ..Self::derived(get) }
    }

    pub(super) const fn scaled(self, tag: &'static str, scaled: fn(f64, R::Scale) -> f64) -> Self {
        Self { scalar: Some(Scalar { tag, scaled }), ..self }
    }

    pub(super) const fn scalar(self, tag: &'static str) -> Self {
        self.scaled(tag, |value, _| value)
    }

    pub(super) const fn history(self) -> Self {
        Self { in_history: true, ..self }
    }
}

impl<R> Clone for Column<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Column<R> {}

/// Column of a number of a report. `Quantity` is that of the report where the macro is used.
macro_rules! number {
    ($name:literal, $($field:tt)+) => {
        Quantity::column($name, |step| step.$($field)+, |step, cell| step.$($field)+ = cell)
    };
}

/// Column of a number of an optional part of a report, after the column that creates the part. Without the part it is NaN.
macro_rules! number_of_part {
    ($name:literal, $part:ident, $field:ident) => {
        Quantity::column(
            $name,
            |step| step.$part.map_or(f64::NAN, |of| of.$field),
            |step, cell| {
                if let Some(of) = &mut step.$part {
                    of.$field = cell;
                }
            },
        )
    };
}

pub(super) use {number, number_of_part};

/// Columns of `metrics.csv` with the functions that read them from a report.
pub(super) fn columns<R: TrainingReport>() -> impl Iterator<Item = (Column<R>, fn(&R) -> f64)> {
    R::quantities().iter().filter_map(|quantity| quantity.column.map(|column| (column, quantity.get)))
}
