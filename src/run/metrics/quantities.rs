//! Quantities of a training step, one row each. The columns of `metrics.csv` and `metrics.npy` and the scalars of the
//! TensorBoard events follow from this table and have its order.

use crate::run::relative_error;
use crate::vmc::{ReconfigurationReport, StepReport};

/// Quantity of a step.
#[derive(Clone, Copy)]
pub(in crate::run) struct Quantity {
    /// Value of a step; NaN if it has none.
    pub get: fn(&StepReport) -> f64,
    /// Column of `metrics.csv`; `None` if it follows from other columns.
    pub column: Option<Column>,
    /// TensorBoard scalar.
    pub scalar: Option<Scalar>,
    /// Whether `metrics.npy` has the quantity. Its columns are those of another code and do not grow.
    pub in_history: bool,
}

/// Column of `metrics.csv`.
#[derive(Clone, Copy)]
pub(in crate::run) struct Column {
    pub name: &'static str,
    /// Sets the quantity of a step from a cell. Columns are set in their order.
    pub set: fn(&mut StepReport, f64),
}

/// TensorBoard scalar.
#[derive(Clone, Copy)]
pub(in crate::run) struct Scalar {
    pub tag: &'static str,
    /// Value of the scalar from that of the quantity.
    pub scaled: fn(f64, EnergyScale) -> f64,
}

/// Scale of the energies of TensorBoard scalars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyScale {
    /// Sites of the lattice.
    pub sites: usize,
    /// Exact energy of the whole lattice, if it is known.
    pub exact: Option<f64>,
}

impl Quantity {
    const fn derived(get: fn(&StepReport) -> f64) -> Self {
        Self { get, column: None, scalar: None, in_history: false }
    }

    const fn column(name: &'static str, get: fn(&StepReport) -> f64, set: fn(&mut StepReport, f64)) -> Self {
        Self { column: Some(Column { name, set }), ..Self::derived(get) }
    }

    const fn scalar(self, tag: &'static str, scaled: fn(f64, EnergyScale) -> f64) -> Self {
        Self { scalar: Some(Scalar { tag, scaled }), ..self }
    }

    const fn history(self) -> Self {
        Self { in_history: true, ..self }
    }
}

/// Column of a number of the report.
macro_rules! number {
    ($name:literal, $($field:tt)+) => {
        Quantity::column($name, |step| step.$($field)+, |step, cell| step.$($field)+ = cell)
    };
}

/// Column of stochastic reconfiguration, after that of the condition number, without which there are no others.
macro_rules! reconfiguration {
    ($name:literal, $field:ident) => {
        Quantity::column(
            $name,
            |step| step.reconfiguration.map_or(f64::NAN, |of| of.$field),
            |step, cell| {
                if let Some(of) = &mut step.reconfiguration {
                    of.$field = cell;
                }
            },
        )
    };
}

/// All quantities.
pub(in crate::run) static QUANTITIES: &[Quantity] = &[
    Quantity::column("step", |step| step.step as f64, |step, cell| step.step = cell as u64),
    // Energy of the whole lattice and its standard error.
    number!("energy", energy).scalar("energy/per_site", per_site).history(),
    number!("energy_error", energy_error).scalar("energy/error_per_site", per_site),
    // Unbiased variance of the local energy.
    number!("variance", variance).scalar("energy/variance", unscaled).history(),
    Quantity::derived(|step| step.energy).scalar("energy/relative_error", relative_to_exact),
    // Mean occupation, mean σˣ and mean absolute staggered magnetization per site.
    number!("density", density).scalar("observables/density", unscaled),
    number!("sigma_x", sigma_x).scalar("observables/sigma_x", unscaled),
    number!("staggered", staggered).scalar("observables/staggered", unscaled),
    // Mean and unbiased variance of the magnetization M = Σ (2n − 1), of |M| and of M².
    number!("magnetization", magnetization.mean[0]).history(),
    number!("magnetization_variance", magnetization.mean[1]).history(),
    number!("magnetization_abs", magnetization.absolute[0]).history(),
    number!("magnetization_abs_variance", magnetization.absolute[1]).history(),
    number!("magnetization_squared", magnetization.squared[0]).history(),
    number!("magnetization_squared_variance", magnetization.squared[1]).history(),
    // Mean and unbiased variance of the staggered magnetization Σ (−1)^(x+y) (n − ½) / N.
    number!("staggered_signed", magnetization.staggered[0]).history(),
    number!("staggered_signed_variance", magnetization.staggered[1]).history(),
    // Number of deduplicated configurations.
    Quantity::column("unique", |step| step.unique.into(), |step, cell| step.unique = cell as u32)
        .scalar("sampling/unique", unscaled),
    // Fraction of the proposals that Markov chains accepted; NaN without chains.
    Quantity::column(
        "acceptance",
        |step| step.acceptance.unwrap_or(f64::NAN),
        |step, cell| step.acceptance = Some(cell).filter(|cell| !cell.is_nan()),
    )
    .scalar("sampling/acceptance", unscaled),
    number!("gradient_norm", gradient_norm).scalar("training/gradient_norm", unscaled),
    number!("learning_rate", learning_rate).scalar("training/learning_rate", unscaled),
    // Follows from the settings.
    Quantity::derived(|step| step.temperature.unwrap_or(f64::NAN)).scalar("training/temperature", unscaled),
    // 1 if the step was taken and 0 if it was rejected.
    Quantity::column("accepted", |step| u8::from(step.accepted).into(), |step, cell| step.accepted = cell == 1.0)
        .scalar("training/accepted", unscaled),
    // Condition number and relative residual of the solution of stochastic reconfiguration, effective λ and norm of the
    // step; NaN with another optimizer. The effective sample size of a reweighted step is not stored.
    Quantity::column(
        "condition",
        |step| step.reconfiguration.map_or(f64::NAN, |of| of.condition),
        |step, condition| {
            let others = f64::NAN;
            let report = ReconfigurationReport {
                condition,
                residual: others,
                lambda: others,
                update_norm: others,
                effective_samples: others,
            };
            step.reconfiguration = Some(report).filter(|of| !of.condition.is_nan());
        },
    )
    .scalar("reconfiguration/condition", unscaled),
    reconfiguration!("residual", residual).scalar("reconfiguration/residual", unscaled),
    reconfiguration!("lambda", lambda).scalar("reconfiguration/lambda", unscaled),
    reconfiguration!("update_norm", update_norm).scalar("reconfiguration/update_norm", unscaled),
    // Last: without it, two runs of one command on one adapter give identical bytes. In the history, seconds since the
    // run began.
    number!("seconds", seconds).scalar("time/seconds_per_step", unscaled).history(),
];

/// Columns of `metrics.csv` with the functions that read them from a report.
pub(super) fn columns() -> impl Iterator<Item = (Column, fn(&StepReport) -> f64)> {
    QUANTITIES.iter().filter_map(|quantity| quantity.column.map(|column| (column, quantity.get)))
}

fn unscaled(value: f64, _: EnergyScale) -> f64 {
    value
}

fn per_site(energy: f64, scale: EnergyScale) -> f64 {
    energy / scale.sites as f64
}

/// |E − E_exact| / |E_exact|; NaN if the exact energy is not known.
fn relative_to_exact(energy: f64, scale: EnergyScale) -> f64 {
    scale.exact.map_or(f64::NAN, |exact| relative_error(energy, exact))
}
