//! Test cases of [`crate::kernels::rbm::amplitude`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::nn::cast_f16::cast_f16_reference;
use crate::kernels::rbm::amplitude::{
    AMPLITUDE, RATIO, RbmAmplitude, RbmRatio, RbmShape, RbmSlopes, SLOPES, amplitude_reference, ratio_reference,
};
use crate::kernels::vmc::energy::NEG_LARGE;
use crate::kernels::vmc::rows::Window;
use crate::kernels::vmc::spins::spins_reference;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, Values};

pub(crate) const AMPLITUDE_ENTRY: Entry =
    Entry { kernel: &AMPLITUDE, summary: "2 log ψ = 2 (Σ a s + Σ log cosh θ)", cases: amplitude_cases };
pub(crate) const RATIO_ENTRY: Entry =
    Entry { kernel: &RATIO, summary: "log ψ(σ')/ψ(σ) of connected configurations from θ", cases: ratio_cases };
pub(crate) const SLOPES_ENTRY: Entry =
    Entry { kernel: &SLOPES, summary: "2 w s, tanh θ and 2 w for the gradient", cases: slopes_cases };

/// Returns a weight as kernels read it, and its buffer of f32 or f16.
pub(crate) fn stored_weight(weight: Vec<f32>, half: bool) -> (Vec<f32>, Values) {
    if !half {
        return (weight.clone(), weight.into());
    }
    let narrow = cast_f16_reference(&weight);
    (narrow.iter().map(|value| value.to_f32()).collect(), narrow.into())
}

/// Rows, sites and hidden units.
const SHAPES: [(u32, u32, u32); 6] = [(1, 1, 1), (64, 4, 8), (63, 7, 13), (65, 16, 33), (3, 256, 1024), (70_000, 2, 3)];

fn random_spins(random: &mut RandomInputs, count: u32) -> Vec<f32> {
    random.integers(count as usize, 2).into_iter().map(|bit| if bit == 1 { 1.0 } else { -1.0 }).collect()
}

/// Activations of all magnitudes, in the quadratic and the linear range of log cosh.
fn random_theta(random: &mut RandomInputs, count: u32) -> Vec<f32> {
    random.floats(count as usize).into_iter().map(|x| 12.0 * x * x * x).collect()
}

fn amplitude_cases(_: &Gpu) -> Vec<Case> {
    SHAPES.into_iter().map(amplitude_case).collect()
}

fn amplitude_case((rows, sites, hidden): (u32, u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + 3 * sites + 5 * hidden));
    let (spins, theta) = (random_spins(&mut random, rows * sites), random_theta(&mut random, rows * hidden));
    let visible_bias = random.floats(sites as usize);
    let values = amplitude_reference(&wide(&spins), &wide(&theta), &wide(&visible_bias));
    let shape = RbmShape { sites, sites_per_patch: 1, hidden };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let amplitude = RbmAmplitude::from_case(buffers)?;
        amplitude.record(plan, &rows.into(), &shape)
    };
    Case {
        name: format!("({rows}, {sites}, {hidden})"),
        inputs: vec![("spins", spins.into()), ("theta", theta.into()), ("visible_bias", visible_bias.into())],
        outputs: vec![("log_p", Expected::Near { values, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

/// Samples, patches, sites per patch, hidden units, first item, items.
type RatioSizes = (u32, u32, u32, u32, u32, u32);

fn ratio_cases(gpu: &Gpu) -> Vec<Case> {
    let sizes: [RatioSizes; 5] = [
        (1, 1, 1, 1, 0, 1),
        (7, 4, 3, 5, 2, 5),
        (65, 5, 1, 33, 0, 65),
        (3, 32, 8, 1024, 0, 3),
        (17_000, 2, 2, 3, 0, 17_000),
    ];
    let mut cases: Vec<Case> =
        sizes.into_iter().flat_map(|sizes| [ratio_case(sizes, false, false), ratio_case(sizes, true, false)]).collect();
    if gpu.features().contains(wgpu::Features::SHADER_F16) {
        cases.push(ratio_case(sizes[1], true, true));
    }
    cases
}

/// Flips of every site; with `pairs` also pairs of sites, with and without a condition. With `half` the weight is f16.
fn ratio_case((samples, patches, p, hidden, first, most): RatioSizes, pairs: bool, half: bool) -> Case {
    let sites = patches * p;
    let mut random = RandomInputs::new(u64::from(samples * sites + hidden));
    let mut changed: Vec<(Vec<usize>, u32)> = (0..sites as usize).map(|i| (vec![i], 0)).collect();
    if pairs {
        let pair = |i: u32| (vec![i as usize, ((i * 7 + 1) % sites) as usize], i % 2);
        changed.extend((0..sites).map(pair).filter(|(sites, _)| sites[0] != sites[1]));
    }
    let place = |i: usize| [i as u32 / p, 1 << (i as u32 % p)];
    let second = |sites: &[usize]| sites.get(1).map_or([u32::MAX, 0], |i| place(*i));
    let moves: Vec<u32> = changed.iter().flat_map(|(sites, _)| [place(sites[0]), second(sites)].concat()).collect();
    let starts: Vec<u32> = changed.iter().flat_map(|(_, condition)| [0, *condition]).collect();
    let tokens = random.integers((samples * patches) as usize, 1 << p);
    let sample_of = random.integers(samples as usize, samples);
    let theta = random_theta(&mut random, samples * hidden);
    let weight: Vec<f32> = random.floats((sites * hidden) as usize).into_iter().map(|w| 2.0 * w * w * w).collect();
    let (weight, stored) = stored_weight(weight, half);
    let visible_bias = random.floats(sites as usize);
    let count = changed.len();
    let before = random.floats(samples as usize * count);
    let mut values = wide(&before);
    for item in first as usize..(first + most) as usize {
        let b = sample_of[item] as usize;
        let spins = spins_reference(&tokens[b * patches as usize..][..patches as usize], p);
        let theta = wide(&theta[b * hidden as usize..][..hidden as usize]);
        for (m, (sites, condition)) in changed.iter().enumerate() {
            let holds = *condition == 0 || spins[sites[0]] != spins[sites[1]];
            let ratio = ratio_reference(&spins, &theta, &weight, &visible_bias, sites);
            values[item * count + m] = if holds { ratio } else { f64::from(NEG_LARGE) };
        }
    }
    let shape = RbmShape { sites, sites_per_patch: p, hidden };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let ratio = RbmRatio::from_case(buffers)?;
        let window = Window { items: most.into(), first, capacity: most, samples, patches };
        ratio.record(plan, &window, &shape, count as u32, pairs)
    };
    Case {
        name: format!("({samples}, {patches}) of {p}, {hidden} hidden, {count} moves from {first}, f16 {half}"),
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("theta", theta.into()),
            ("weight", stored),
            ("visible_bias", visible_bias.into()),
            ("moves", moves.into()),
            ("starts", starts.into()),
            ("ratio", before.into()),
        ],
        outputs: vec![("ratio", Expected::Near { values, tolerance: 2e-6 })],
        record: Box::new(record),
    }
}

fn slopes_cases(_: &Gpu) -> Vec<Case> {
    SHAPES.into_iter().map(slopes_case).collect()
}

fn slopes_case((rows, sites, hidden): (u32, u32, u32)) -> Case {
    let first = 3;
    let mut random = RandomInputs::new(u64::from(rows * 2 + sites + hidden));
    let (spins, theta) = (random_spins(&mut random, rows * sites), random_theta(&mut random, rows * hidden));
    let d_log_p = random.floats((first + rows) as usize);
    let slope: Vec<f64> = d_log_p[first as usize..].iter().map(|w| 2.0 * f64::from(*w)).collect();
    let turned = spins.iter().enumerate().map(|(at, s)| slope[at / sites as usize] * f64::from(*s)).collect();
    let tanh = theta.iter().map(|theta| f64::from(*theta).tanh()).collect();
    let shape = RbmShape { sites, sites_per_patch: 1, hidden };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let slopes = RbmSlopes::from_case(buffers)?;
        slopes.record(plan, &rows.into(), &shape, first)
    };
    let near = |values: Vec<f64>, tolerance| Expected::Near { values, tolerance };
    Case {
        name: format!("({rows}, {sites}, {hidden})"),
        inputs: vec![("d_log_p", d_log_p.into()), ("spins", spins.into()), ("theta", theta.into())],
        outputs: vec![("spins", near(turned, 1e-7)), ("theta", near(tanh, 1e-6)), ("slope", near(slope, 1e-7))],
        record: Box::new(record),
    }
}
