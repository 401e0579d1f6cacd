//! Quantities of a step of variational Monte Carlo.

use super::quantities::{self, TrainingReport, number, number_of_part};
use crate::run::relative_error;
use crate::vmc::{ReconfigurationReport, StepReport};

type Quantity = quantities::Quantity<StepReport>;

/// Scale of the energies of TensorBoard scalars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyScale {
    /// Sites of the lattice.
    pub sites: usize,
    /// Exact energy of the whole lattice, if it is known.
    pub exact: Option<f64>,
}

impl TrainingReport for StepReport {
    type Scale = EnergyScale;

    fn quantities() -> &'static [Quantity] {
        QUANTITIES
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn accepted(&self) -> bool {
        self.accepted
    }
}

/// All quantities. The columns of the history are those of the public PyTorch code's `DEBUG.npy` and do not grow: energy
/// of the whole lattice and its variance; mean and variance of the magnetization M = Σ (2n − 1), of |M|, of M², and of the
/// staggered magnetization Σ (−1)^(x+y) (n − ½) / N; seconds since the run began.
static QUANTITIES: &[Quantity] = &[
    Quantity::column("step", |step| step.step as f64, |step, cell| step.step = cell as u64),
    // Energy of the whole lattice and its standard error.
    number!("energy", energy).scaled("energy/per_site", per_site).history(),
    number!("energy_error", energy_error).scaled("energy/error_per_site", per_site),
    // Unbiased variance of the local energy.
    number!("variance", variance).scalar("energy/variance").history(),
    Quantity::derived(|step| step.energy).scaled("energy/relative_error", relative_to_exact),
    // Mean occupation, mean σˣ and mean absolute staggered magnetization per site.
    number!("density", density).scalar("observables/density"),
    number!("sigma_x", sigma_x).scalar("observables/sigma_x"),
    number!("staggered", staggered).scalar("observables/staggered"),
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
        .scalar("sampling/unique"),
    // Fraction of the proposals that Markov chains accepted; NaN without chains.
    Quantity::column(
        "acceptance",
        |step| step.acceptance.unwrap_or(f64::NAN),
        |step, cell| step.acceptance = Some(cell).filter(|cell| !cell.is_nan()),
    )
    .scalar("sampling/acceptance"),
    number!("gradient_norm", gradient_norm).scalar("training/gradient_norm"),
    number!("learning_rate", learning_rate).scalar("training/learning_rate"),
    // Follows from the settings.
    Quantity::derived(|step| step.temperature.unwrap_or(f64::NAN)).scalar("training/temperature"),
    // 1 if the step was taken and 0 if it was rejected.
    Quantity::column("accepted", |step| u8::from(step.accepted).into(), |step, cell| step.accepted = cell == 1.0)
        .scalar("training/accepted"),
    // 1 if the step took half of the previous one back; not stored.
    Quantity::derived(|step| u8::from(step.is_shortening).into()).scalar("training/shortening"),
    // Power of |ψ| from which samples are drawn, NaN if it is fixed; not stored.
    Quantity::derived(|step| step.sampling_power.unwrap_or(f64::NAN)).scalar("sampling/power"),
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
    .scalar("reconfiguration/condition"),
    number_of_part!("residual", reconfiguration, residual).scalar("reconfiguration/residual"),
    number_of_part!("lambda", reconfiguration, lambda).scalar("reconfiguration/lambda"),
    number_of_part!("update_norm", reconfiguration, update_norm).scalar("reconfiguration/update_norm"),
    // Last: without it, two runs of one command on one adapter give identical bytes.
    number!("seconds", seconds).scalar("time/seconds_per_step").history(),
];

fn per_site(energy: f64, scale: EnergyScale) -> f64 {
    energy / scale.sites as f64
}

/// |E − E_exact| / |E_exact|; NaN if the exact energy is not known.
fn relative_to_exact(energy: f64, scale: EnergyScale) -> f64 {
    scale.exact.map_or(f64::NAN, |exact| relative_error(energy, exact))
}
