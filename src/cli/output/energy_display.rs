//! Progress of the training of a wave function: energies, samples per second, and warnings about samples.

use ketformer::vmc::StepReport;
use serde_json::{Map, Value, json};

use super::number::{Measurement, significant};
use super::progress::StepDisplay;

/// Number of consecutive steps of a single configuration after which a warning is printed.
const SINGLE_TOLD: u64 = 10;

/// Maximum number of decimals of the energy in the bar.
const DECIMALS: usize = 6;

/// Display of the energies of steps.
pub struct EnergyDisplay {
    /// Sites of the lattice.
    sites: usize,
    /// Samples of a step.
    samples: usize,
    /// Exact energy of the whole lattice, if it is known.
    exact: Option<f64>,
    /// Whether the warning about few deduplicated samples was printed, or does not apply.
    few_told: bool,
    /// Number of consecutive steps whose samples were all one configuration.
    single: u64,
    /// Whether the warning about them was printed.
    single_told: bool,
}

impl EnergyDisplay {
    /// Display for `samples` samples a step on a lattice of `sites` sites, whose `exact` energy may be known.
    pub fn new(sites: usize, samples: usize, exact: Option<f64>) -> Self {
        Self { sites, samples, exact, few_told: false, single: 0, single_told: false }
    }

    /// The same for sums over all configurations, of which there are no more.
    pub fn of_full_sum(self) -> Self {
        Self { few_told: true, ..self }
    }

    fn per_site(&self, report: &StepReport) -> Measurement {
        let sites = self.sites as f64;
        Measurement { mean: report.energy / sites, error: report.energy_error / sites }
    }
}

impl StepDisplay<StepReport> for EnergyDisplay {
    const NOT_FINITE: &'static str = "energy, gradient or Gram matrix";
    const ITEMS: &'static str = "samples";

    fn items(&self, _: &StepReport) -> f64 {
        self.samples as f64
    }

    fn take(&mut self, report: &StepReport) -> Vec<String> {
        let mut warnings = Vec::new();
        self.single = if report.energy_error.is_nan() && report.accepted { self.single + 1 } else { 0 };
        if self.single == SINGLE_TOLD && !self.single_told {
            self.single_told = true;
            warnings.push(format!(
                "all samples of {SINGLE_TOLD} steps up to step {} are one configuration, so that the gradient vanishes; \
                 if that is not the ground state, train again with temperature=2 (annealing), more samples (K=) or a \
                 smaller lr=",
                report.step
            ));
        }
        if report.lacks_samples(self.sites) && !self.few_told {
            self.few_told = true;
            warnings.push(format!(
                "step {} had {} distinct samples, which limits the rank of the Gram matrix of stochastic \
                 reconfiguration; give more samples (K=), or if they collapsed a smaller lr= or clip=0.3",
                report.step, report.unique
            ));
        }
        warnings
    }

    fn bar(&self, report: &StepReport) -> Vec<String> {
        let energy = self.per_site(report);
        let (mean, error, decimals) = (energy.mean, energy.error, energy.decimals().min(DECIMALS));
        let shown = match error.is_nan() {
            true => format!("E/N {mean:.decimals$} ± unknown"),
            false => format!("E/N {mean:.decimals$} ± {error:.decimals$}"),
        };
        let exact = self.exact.map(|exact| format!("exact {:.decimals$}", exact / self.sites as f64));
        std::iter::once(shown).chain(exact).collect()
    }

    fn line(&self, report: &StepReport) -> String {
        format!("E/N {}  variance {}", self.per_site(report), significant(report.variance, 2))
    }

    fn object(&self, report: &StepReport) -> Map<String, Value> {
        let object = json!({
            "energy": [report.energy, report.energy_error],
            "per_site": report.energy / self.sites as f64,
            "variance": report.variance,
            "acceptance": report.acceptance,
            "accepted": report.accepted,
            "learning_rate": report.learning_rate,
            "temperature": report.temperature.unwrap_or(0.0),
        });
        object.as_object().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_the_energy_per_site_and_the_exact_one() {
        let report = StepReport { energy: -0.452_12 * 16.0, energy_error: 0.000_70 * 16.0, ..StepReport::default() };
        let bar = |exact| EnergyDisplay::new(16, 100, exact).bar(&report).join("  ");
        assert_eq!(bar(Some(-0.453_41 * 16.0)), "E/N -0.45212 ± 0.00070  exact -0.45341");
        assert_eq!(bar(None), "E/N -0.45212 ± 0.00070");
        let report = StepReport { energy_error: f64::NAN, ..report };
        assert!(EnergyDisplay::new(16, 100, None).bar(&report)[0].ends_with("± unknown"));
    }
}
