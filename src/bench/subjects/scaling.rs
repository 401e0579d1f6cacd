//! Scaling benchmark: time of sampling, log-probabilities and local energies against the number of sites, per family.
//!
//! All families draw single sites and have nearly the same number of parameters. That of a restricted Boltzmann machine
//! grows with the lattice and matches the others at 256 sites. Times are fitted by c·N^a over the larger sizes, where a
//! is the slope of a least-squares line through the logarithms. Weights are random, so that nearly all samples differ
//! and deduplication saves nothing. The passes with the steepest growth are measured on fewer samples, and not on the
//! largest lattices.
//!
//! Correctness check: log-probabilities of the teacher-forced pass agree with those of sampling, local energies are
//! finite, and every launched kernel passes its own check. Sampling without a cache leaves out the time of the draw.
//! Another family is another row of `FAMILIES`; a test keeps the numbers of parameters nearly equal.

use std::time::Instant;

use super::step::kernel_gate;
use crate::bench::curve::{PowerLaw, ScalingCurve};
use crate::bench::key::RowKey;
use crate::bench::session::Bench;
use crate::bench::shape::BenchShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Profile;
use crate::kernels::Comparison;
use crate::model::{Attention, Lptf, Metropolis, Model, Ptf, Rbm, Rnn, Subsampler};
use crate::physics::{Lattice, Patch, Rydberg};
use crate::vmc::{Pass, Passes, RecordedPass, State};

/// Family of wave functions and its measured passes. A further family is a further row of [`FAMILIES`].
struct Family {
    name: &'static str,
    model: fn() -> Box<dyn Model>,
    passes: &'static [Measure],
}

/// Pass with its maximum number of samples and its maximum number of sites.
struct Measure {
    name: &'static str,
    pass: Pass,
    samples: u32,
    sites: u32,
}

const SAMPLING: Measure = Measure { name: "sampling", pass: Pass::Sampling, samples: u32::MAX, sites: u32::MAX };
const UNCACHED: Measure = Measure { name: "sampling, no cache", pass: Pass::SamplingUncached, samples: 8, sites: 400 };
const INFERENCE: Measure =
    Measure { name: "log-probabilities", pass: Pass::LogProbabilities, samples: u32::MAX, sites: u32::MAX };
const ENERGIES: Measure = Measure { name: "local energies", pass: Pass::LocalEnergies, samples: 8, sites: 256 };

/// All families.
static FAMILIES: [Family; 5] = [
    Family { name: "ptf", model: || Box::new(ptf()), passes: &[SAMPLING, UNCACHED, INFERENCE, ENERGIES] },
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

/// Narrow transformer over single sites: attention soon dominates its cost.
fn ptf() -> Ptf {
    Ptf { patch: Patch::Line(1), width: 16, heads: 2, layers: 2, feed_forward: 64, ..Ptf::default() }
}

/// Recurrent wave function over single sites.
fn rnn(width: usize) -> Rnn {
    Rnn { patch: Patch::Line(1), width, ..Rnn::default() }
}

/// Maximum difference between log-probabilities of a patch that rounding explains.
const TOLERANCE: f64 = 1e-4;
/// Approximate time limit per pass in seconds. The largest sizes take seconds: they get fewer runs than requested, but
/// at least [`LEAST_RUNS`].
const ENOUGH_SECONDS: f64 = 2.0;
const LEAST_RUNS: u32 = 2;
/// Minimum number of sites.
const LEAST_SITES: u32 = 16;
/// Side length of the large patches of the large-patched transformer.
const LARGE_PATCH: usize = 4;

/// Checks that the lattice exists for every family.
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
pub(super) fn run(session: &mut Bench<'_>, shape: &BenchShape) -> Result<()> {
    let [sites, samples] = shape.sizes()?;
    let lattice = Lattice::from_sites(sites as usize)?;
    for family in &FAMILIES {
        session.tell(&RowKey::new(family.name, "samples drawn", shape));
        let model = (family.model)();
        let weights = model.layout(&lattice)?.initial(session.seed);
        let (hamiltonian, seed) = (Rydberg::default(), session.seed);
        let state = State::new(session.gpu, &lattice, &*model, &weights);
        let passes = Passes::new(&state, &hamiltonian, samples, seed)?;
        for measure in family.passes.iter().filter(|measure| sites <= measure.sites) {
            let title = RowKey::new(family.name, measure.name, shape);
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

/// Adds the row of a pass. Returns the milliseconds of its fastest run, which other programs disturb least.
fn run_pass(session: &mut Bench<'_>, title: &RowKey, recorded: &RecordedPass<'_>) -> Result<Option<f64>> {
    let plan = recorded.plan();
    let start = Instant::now();
    let error = recorded.error()?;
    let once = start.elapsed().as_secs_f64();
    let runs = session.profile.runs.min((ENOUGH_SECONDS / once) as u32).max(LEAST_RUNS.min(session.profile.runs));
    let mut measured = vec![Comparison { output: "log P", error, tolerance: TOLERANCE }];
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

/// Adds a point to the curve of a pass.
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

/// Fits all curves and adds a note for each.
pub(super) fn find_laws(session: &mut Bench<'_>) {
    for curve in &mut session.curves {
        curve.fit = PowerLaw::of_larger(&curve.points);
    }
    session
        .notes
        .push("milliseconds per sample in the fastest run, by sites, and the power law of the larger sizes:".into());
    session.notes.extend(session.curves.iter().map(note));
    session.notes.push(parameters_note(&session.curves));
}

/// Number of parameters of each family, at the smallest and the largest size if they differ.
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
    let law = curve.fit.map_or("too few sizes for a fit".into(), |law| format!("{law} from {} sites", law.from));
    format!("{} {}: {law}; {}", curve.family, curve.pass, points.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At the lattice size for which the module claims this.
    #[test]
    fn families_have_nearly_as_many_parameters() {
        let count = |family: &Family| (family.model)().layout(&Lattice::square(16, 16)).unwrap().parameters();
        let (least, most) = (FAMILIES.iter().map(count).min().unwrap(), FAMILIES.iter().map(count).max().unwrap());
        assert!(most as f64 <= 1.05 * least as f64, "{least} to {most}");
    }
}
