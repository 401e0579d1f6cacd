//! What sampling, log-probabilities and local energies cost against the number of sites, family by family.
//!
//! Costs are fitted by c·N^a over the larger sizes, where a is the slope of a least squares line through the logarithms.
//! Weights are random, so that nearly all samples differ, and none is shared.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::BenchShape;
use super::session::{Session, Title};
use super::step::kernel_gate;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Profile;
use crate::kernels::Measured;
use crate::model::{Model, Ptf};
use crate::physics::{Lattice, Rydberg};
use crate::vmc::{Pass, Passes};

/// A family of wave functions and the passes that are measured of it. Another family is another row of [`FAMILIES`].
struct Family {
    name: &'static str,
    model: fn() -> Box<dyn Model>,
    passes: &'static [(&'static str, Pass)],
}

/// The families.
static FAMILIES: [Family; 1] = [Family {
    name: "ptf",
    model: || Box::new(Ptf { width: 32, heads: 4, feed_forward: 128, ..Ptf::default() }),
    passes: &[
        ("sampling", Pass::Sampling),
        ("sampling, no cache", Pass::SamplingAnew),
        ("log-probabilities", Pass::LogProbabilities),
        ("local energies", Pass::LocalEnergies),
    ],
}];

/// Largest difference between log-probabilities of a patch that rounding explains.
const TOLERANCE: f64 = 1e-4;
/// A pass is timed for about this long, but this often at least, however many runs are asked for: the largest sizes take
/// seconds.
const ENOUGH_SECONDS: f64 = 4.0;
const LEAST_RUNS: u32 = 3;
/// Smallest lattice of several patches.
const LEAST_SITES: u32 = 16;
/// Sizes that are fitted at least, and what they have to do with the largest: a quarter of its sites or more.
const LEAST_FITTED: usize = 3;
const FITTED_PART: f64 = 0.25;

/// What one pass of a family costs against the number of sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingCurve {
    /// The family of wave functions.
    pub family: String,
    /// The pass.
    pub pass: String,
    /// Sites and milliseconds per sample in the fastest run, by sites.
    pub points: Vec<[f64; 2]>,
    /// The cost law, where there are points enough.
    pub fit: Option<PowerLaw>,
}

/// factor · N^exponent
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PowerLaw {
    /// Milliseconds per sample at one site.
    pub factor: f64,
    /// The exponent.
    pub exponent: f64,
    /// Its standard error, from how the points lie about the line.
    pub error: f64,
    /// Sites of the smallest size that was fitted.
    pub from: f64,
}

impl PowerLaw {
    /// Least squares through the logarithms of `points`; at least three of different sites.
    fn through(points: &[[f64; 2]]) -> Option<Self> {
        let count = points.len() as f64;
        let logarithms: Vec<[f64; 2]> = points.iter().map(|point| point.map(f64::ln)).collect();
        let mean = |k: usize| logarithms.iter().map(|point| point[k]).sum::<f64>() / count;
        let (x, y) = (mean(0), mean(1));
        let squares: f64 = logarithms.iter().map(|point| (point[0] - x).powi(2)).sum();
        let products: f64 = logarithms.iter().map(|point| (point[0] - x) * (point[1] - y)).sum();
        let exponent = products / squares;
        let off = |point: &[f64; 2]| (point[1] - y - exponent * (point[0] - x)).powi(2);
        let error = (logarithms.iter().map(off).sum::<f64>() / (count - 2.0) / squares).sqrt();
        let from = points.iter().map(|point| point[0]).fold(f64::INFINITY, f64::min);
        let law = Self { factor: (y - exponent * x).exp(), exponent, error, from };
        (points.len() >= LEAST_FITTED && exponent.is_finite() && error.is_finite()).then_some(law)
    }

    /// The larger of these sizes, where fixed costs no longer matter.
    fn of_larger(points: &[[f64; 2]]) -> Option<Self> {
        let largest = points.last()?[0];
        let first = points.iter().position(|point| point[0] >= FITTED_PART * largest).unwrap_or(0);
        Self::through(&points[first.min(points.len().saturating_sub(LEAST_FITTED))..])
    }
}

impl std::fmt::Display for PowerLaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "N^({:.2} ± {:.2})", self.exponent, self.error)
    }
}

/// Whether there is such a lattice, for every family.
pub(super) fn check(sites: u32, samples: u32) -> Result<()> {
    let lattice = Lattice::from_sites(sites as usize)?;
    lattice.check()?;
    if sites < LEAST_SITES {
        let message = format!("bench scaling: {sites} sites are one patch; give {LEAST_SITES} or more, as in 16x64");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    FAMILIES.iter().try_for_each(|family| (family.model)().check(&lattice))?;
    if !(2..=4096).contains(&samples) {
        let message = format!("bench scaling: {samples} samples; give 2 to 4096, as in 64x64");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok(())
}

/// Measures every family at `shape` (sites, samples).
pub(super) fn run(session: &mut Session<'_>, shape: &BenchShape) -> Result<()> {
    let [sites, samples] = shape.sizes()?;
    let lattice = Lattice::from_sites(sites as usize)?;
    for family in &FAMILIES {
        session.tell(&Title::new(family.name, "samples drawn", shape));
        let model = (family.model)();
        let weights = model.layout(&lattice)?.initial(session.seed);
        let (hamiltonian, seed) = (Rydberg::default(), session.seed);
        let passes = Passes::new(session.gpu, &lattice, &hamiltonian, &*model, &weights, samples, seed)?;
        for (name, pass) in family.passes {
            if let Some(ms) = run_pass(session, &Title::new(family.name, *name, shape), &passes, *pass)? {
                let point = [f64::from(sites), ms / f64::from(samples)];
                add_point(&mut session.curves, family.name, name, point);
            }
        }
    }
    Ok(())
}

/// Makes a pass's row; returns the milliseconds of its fastest run, which other programs disturb least.
fn run_pass(session: &mut Session<'_>, title: &Title, passes: &Passes, pass: Pass) -> Result<Option<f64>> {
    session.tell(title);
    let plan = passes.plan(pass);
    let start = Instant::now();
    plan.run()?;
    let once = start.elapsed().as_secs_f64();
    let runs = session.profile.runs.min((ENOUGH_SECONDS / once) as u32).max(LEAST_RUNS.min(session.profile.runs));
    let mut measured = vec![Measured { output: "log P", error: passes.error(pass)?, tolerance: TOLERANCE }];
    measured.extend(kernel_gate(session, plan)?);
    let mut row = session.row(title, format!("{} launches", plan.len()));
    row.error = session.verdict(&measured);
    row.max_error = measured.iter().map(|m| m.error).reduce(f64::max).filter(|error| error.is_finite());
    let mut fastest = None;
    if row.error.is_none() {
        let profile = Profile { runs, warmup: session.profile.warmup.min(runs) };
        let timing = plan.timing(profile)?;
        session.fill(&mut row, &timing, plan.cost());
        fastest = Some(timing.fastest());
    }
    session.push(row);
    Ok(fastest)
}

/// Puts a point into the curve of a pass.
fn add_point(curves: &mut Vec<ScalingCurve>, family: &str, pass: &str, point: [f64; 2]) {
    let same = |curve: &ScalingCurve| curve.family == family && curve.pass == pass;
    let at = curves.iter().position(same).unwrap_or_else(|| {
        curves.push(ScalingCurve { family: family.into(), pass: pass.into(), points: Vec::new(), fit: None });
        curves.len() - 1
    });
    curves[at].points.push(point);
    curves[at].points.sort_by(|a, b| a[0].total_cmp(&b[0]));
}

/// Finds the laws of all curves, and says a line about each.
pub(super) fn find_laws(session: &mut Session<'_>) {
    for curve in &mut session.curves {
        curve.fit = PowerLaw::of_larger(&curve.points);
    }
    session
        .notes
        .push("milliseconds per sample in the fastest run, by sites, and the law through the larger sizes:".into());
    session.notes.extend(session.curves.iter().map(note));
}

fn note(curve: &ScalingCurve) -> String {
    let points: Vec<String> = curve.points.iter().map(|[sites, ms]| format!("{sites}: {ms:.4}")).collect();
    let law = curve.fit.map_or("too few sizes for a law".into(), |law| format!("{law} from {} sites", law.from));
    format!("{} {}: {law}; {}", curve.family, curve.pass, points.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_found_with_its_error() {
        let points: Vec<[f64; 2]> = [16.0f64, 36.0, 64.0, 100.0].map(|n| [n, 0.5 * n.powf(1.75)]).into();
        let law = PowerLaw::through(&points).unwrap();
        assert!((law.exponent - 1.75).abs() < 1e-9 && law.error < 1e-9 && (law.factor - 0.5).abs() < 1e-9, "{law:?}");
        // The textbook's formula on x = 0, 1, 2 and y = 0, 1, 1: slope 1/2, √(1/6 / 2).
        let e = std::f64::consts::E;
        let law = PowerLaw::through(&[[1.0, 1.0], [e, e], [e * e, e]]).unwrap();
        assert!((law.exponent - 0.5).abs() < 1e-9 && (law.error - (1.0f64 / 12.0).sqrt()).abs() < 1e-9, "{law:?}");
    }

    #[test]
    fn only_the_larger_sizes_are_fitted() {
        let mut points: Vec<[f64; 2]> = [16.0f64, 36.0, 64.0, 100.0, 144.0, 256.0].map(|n| [n, n * n]).into();
        points[0][1] = 1e9;
        let law = PowerLaw::of_larger(&points).unwrap();
        assert!((law.exponent - 2.0).abs() < 1e-9 && law.from == 64.0, "{law:?}");
        assert!(PowerLaw::of_larger(&points[..2]).is_none() && PowerLaw::of_larger(&[]).is_none());
        assert!(PowerLaw::through(&[[16.0, 1.0]; 3]).is_none(), "three times the same size");
    }
}
