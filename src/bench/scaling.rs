//! What sampling, log-probabilities and local energies cost against the number of sites, family by family.
//!
//! All families draw single sites and have nearly the same number of trained parameters; that of a restricted Boltzmann
//! machine grows with the lattice, and is the others' at 256 sites. Costs are fitted by c·N^a over the larger sizes, where
//! a is the slope of a least squares line through the logarithms. Weights are random, so that nearly all samples differ,
//! and none is shared. Passes whose cost grows fastest are measured on fewer samples, and not on the largest lattices.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::BenchShape;
use super::session::{Session, Title};
use super::step::kernel_gate;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Profile;
use crate::kernels::Measured;
use crate::model::{Attention, Lptf, Metropolis, Model, Ptf, Rbm, Rnn, Subsampler};
use crate::physics::{Lattice, Patch, Rydberg};
use crate::vmc::{Pass, Passes, RecordedPass};

/// A family of wave functions and the passes that are measured of it. Another family is another row of [`FAMILIES`].
struct Family {
    name: &'static str,
    model: fn() -> Box<dyn Model>,
    passes: &'static [Measure],
}

/// A pass, on how many samples at most, on how many sites at most.
struct Measure {
    name: &'static str,
    pass: Pass,
    samples: u32,
    sites: u32,
}

const SAMPLING: Measure = Measure { name: "sampling", pass: Pass::Sampling, samples: u32::MAX, sites: u32::MAX };
const ANEW: Measure = Measure { name: "sampling, no cache", pass: Pass::SamplingAnew, samples: 8, sites: 400 };
const INFERENCE: Measure =
    Measure { name: "log-probabilities", pass: Pass::LogProbabilities, samples: u32::MAX, sites: u32::MAX };
const ENERGIES: Measure = Measure { name: "local energies", pass: Pass::LocalEnergies, samples: 8, sites: 256 };

/// The families.
static FAMILIES: [Family; 5] = [
    Family { name: "ptf", model: || Box::new(ptf()), passes: &[SAMPLING, ANEW, INFERENCE, ENERGIES] },
    Family {
        name: "ptf, linear",
        model: || Box::new(Ptf { attention: Attention::Linear, ..ptf() }),
        passes: &[SAMPLING, INFERENCE, ENERGIES],
    },
    Family { name: "rnn", model: || Box::new(rnn(40)), passes: &[SAMPLING, INFERENCE, ENERGIES] },
    Family {
        name: "lptf",
        model: || {
            let transformer = Ptf { patch: Patch::Block([LARGE_PATCH; 2]), feed_forward: 44, ..ptf() };
            Box::new(Lptf { transformer, subsampler: Subsampler::Rnn(rnn(16)) })
        },
        passes: &[SAMPLING, INFERENCE, ENERGIES],
    },
    Family {
        name: "rbm",
        model: || Box::new(Rbm { alpha: 0.1, sampling: Metropolis::default() }),
        passes: &[SAMPLING, INFERENCE, ENERGIES],
    },
];

/// A narrow transformer over single sites: attention is soon the larger part of its work.
fn ptf() -> Ptf {
    Ptf { patch: Patch::Line(1), width: 16, heads: 2, layers: 2, feed_forward: 64, ..Ptf::default() }
}

/// A recurrent wave function over single sites.
fn rnn(width: usize) -> Rnn {
    Rnn { patch: Patch::Line(1), width, ..Rnn::default() }
}

/// Largest difference between log-probabilities of a patch that rounding explains.
const TOLERANCE: f64 = 1e-4;
/// A pass is timed for about this long, but this often at least, however many runs are asked for: the largest sizes take
/// seconds.
const ENOUGH_SECONDS: f64 = 2.0;
const LEAST_RUNS: u32 = 2;
/// Smallest lattice.
const LEAST_SITES: u32 = 16;
/// Side of the large patches of the large-patched transformer.
const LARGE_PATCH: usize = 4;
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
    /// Trained numbers of the wave function at each of these points.
    #[serde(default)]
    pub parameters: Vec<u64>,
    /// The cost law, where there are points enough.
    pub fit: Option<PowerLaw>,
}

impl ScalingCurve {
    /// The kind of pass, and how it is done where that is not the usual way.
    pub(super) fn kind(&self) -> (&str, Option<&str>) {
        self.pass.split_once(", ").map_or((&self.pass, None), |(kind, how)| (kind, Some(how)))
    }
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
        let message = format!("bench scaling: {sites} sites are too few; give {LEAST_SITES} or more, as in 16x64");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    if !lattice.lx.is_multiple_of(LARGE_PATCH) {
        let message = format!(
            "bench scaling: large patches of {LARGE_PATCH}x{LARGE_PATCH} do not fit {sites} sites; give a side that is a \
             multiple of {LARGE_PATCH}, as in 64x64"
        );
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
        for measure in family.passes.iter().filter(|measure| sites <= measure.sites) {
            let title = Title::new(family.name, measure.name, shape);
            session.tell(&title);
            let recorded = passes.record(measure.pass, measure.samples)?;
            if let Some(ms) = run_pass(session, &title, &recorded)? {
                let point = [f64::from(sites), ms / f64::from(recorded.samples())];
                add_point(&mut session.curves, [family.name, measure.name], point, passes.parameters());
            }
        }
    }
    Ok(())
}

/// Makes a pass's row; returns the milliseconds of its fastest run, which other programs disturb least.
fn run_pass(session: &mut Session<'_>, title: &Title, recorded: &RecordedPass<'_>) -> Result<Option<f64>> {
    let plan = recorded.plan();
    let start = Instant::now();
    let error = recorded.error()?;
    let once = start.elapsed().as_secs_f64();
    let runs = session.profile.runs.min((ENOUGH_SECONDS / once) as u32).max(LEAST_RUNS.min(session.profile.runs));
    let mut measured = vec![Measured { output: "log P", error, tolerance: TOLERANCE }];
    measured.extend(kernel_gate(session, plan)?);
    let mut row = session.row(title, format!("{} launches, {} samples", plan.len(), recorded.samples()));
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
fn add_point(curves: &mut Vec<ScalingCurve>, [family, pass]: [&str; 2], point: [f64; 2], parameters: u64) {
    let same = |curve: &ScalingCurve| curve.family == family && curve.pass == pass;
    let at = curves.iter().position(same).unwrap_or_else(|| {
        let (family, pass) = (family.into(), pass.into());
        curves.push(ScalingCurve { family, pass, points: Vec::new(), parameters: Vec::new(), fit: None });
        curves.len() - 1
    });
    let curve = &mut curves[at];
    let place = curve.points.partition_point(|other| other[0] <= point[0]);
    curve.points.insert(place, point);
    curve.parameters.insert(place, parameters);
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
    session.notes.push(parameters_note(&session.curves));
}

/// How many parameters each family has, at the smallest and the largest size where that differs.
fn parameters_note(curves: &[ScalingCurve]) -> String {
    let of_family = |name: &str| {
        let of = curves.iter().filter(|curve| curve.family == name);
        let counts: Vec<(f64, u64)> = of
            .flat_map(|curve| curve.points.iter().map(|point| point[0]).zip(curve.parameters.iter().copied()))
            .collect();
        let (least, most) = (counts.iter().min_by_key(|c| c.1)?, counts.iter().max_by_key(|c| c.1)?);
        Some(match least.1 == most.1 {
            true => format!("{name} {}", least.1),
            false => format!("{name} {} at {} sites to {} at {}", least.1, least.0, most.1, most.0),
        })
    };
    let all: Vec<String> = FAMILIES.iter().filter_map(|family| of_family(family.name)).collect();
    format!("trained parameters: {}", all.join("; "))
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

    /// On the lattice on which they are said to be nearly equal.
    #[test]
    fn families_have_nearly_as_many_parameters() {
        let count = |family: &Family| (family.model)().layout(&Lattice::square(16, 16)).unwrap().parameters();
        let (least, most) = (FAMILIES.iter().map(count).min().unwrap(), FAMILIES.iter().map(count).max().unwrap());
        assert!(most as f64 <= 1.05 * least as f64, "{least} to {most}");
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
