//! Test cases of [`crate::kernels::nn::adam`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::nn::adam::{ADAM, Adam, AdamRates, BLOCK, DECIDE, SQUARE, adam_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const SQUARE_ENTRY: Entry = Entry { kernel: &SQUARE, summary: "Σ g² over blocks", cases: square_cases };
pub(crate) const DECIDE_ENTRY: Entry =
    Entry { kernel: &DECIDE, summary: "norm, clipping, accept or reject", cases: decide_cases };
pub(crate) const ADAM_ENTRY: Entry = Entry { kernel: &ADAM, summary: "Adam on all parameters", cases: adam_cases };

fn square_cases(_: &Gpu) -> Vec<Case> {
    let case = |elements: u32| {
        let gradient = RandomInputs::new(u64::from(elements)).floats(elements as usize);
        let square = |block: &[f32]| block.iter().map(|g| f64::from(*g).powi(2)).sum();
        let part = gradient.chunks(BLOCK as usize).map(square).collect();
        Case {
            name: format!("({elements})"),
            inputs: vec![("gradient", gradient.into())],
            outputs: vec![("part", Expected::Near { values: part, tolerance: 1e-6 })],
            record: Box::new(move |plan, buffers| {
                Adam::from_case(&buffers.standing_in("part")?)?.record_square(plan, elements)
            }),
        }
    };
    [1, 64, 4095, 4096, 4097, 300_001].into_iter().map(case).collect()
}

fn decide_cases(_: &Gpu) -> Vec<Case> {
    let fine = [3.0, 1.0];
    let cases = [
        (1, None, fine, 1.0, true),
        (65, Some(0.5), fine, 1.0, true),
        (300, Some(1e9), fine, 1.0, true),
        (3, None, [f32::NAN, 1.0], 1.0, false),
        (3, None, [3.0, f32::INFINITY], 1.0, false),
        (3, None, fine, f32::NAN, false),
    ];
    cases.into_iter().map(decide_case).collect()
}

fn decide_case((blocks, clip, energy, factor, accept): (u32, Option<f32>, [f32; 2], f32, bool)) -> Case {
    let mut part: Vec<f32> =
        RandomInputs::new(u64::from(blocks)).floats(blocks as usize).iter().map(|p| p.abs()).collect();
    let norm = part.iter().map(|p| f64::from(*p)).sum::<f64>().sqrt();
    part[0] *= factor;
    let rates = AdamRates::default();
    let before = [0.81f32, 0.998, 0.25, 0.5, 7.0, 2.0, 0.0, 0.0];
    let scale = clip.map_or(1.0, |clip| (f64::from(clip) / norm).min(1.0));
    let power = |p: f32, beta: f32| f64::from(p) * if accept { f64::from(beta) } else { 1.0 };
    let mut state = vec![
        power(before[0], rates.beta1),
        power(before[1], rates.beta2),
        scale,
        f64::from(u8::from(accept)),
        norm,
        if accept { 3.0 } else { 2.0 },
        0.0,
        0.0,
    ];
    if !accept {
        // The norm of a rejected step may be non-finite; only the powers, the scale and the decision are compared.
        state.truncate(4);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        Adam::from_case(&buffers.standing_in("part")?)?.record_decide(plan, blocks * BLOCK, clip, rates)
    };
    Case {
        name: format!("({blocks}) clip {clip:?} energy {energy:?} accept {accept}"),
        inputs: vec![("part", part.into()), ("statistics", energy.to_vec().into()), ("state", before.to_vec().into())],
        outputs: vec![("state", Expected::Near { values: state, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn adam_cases(_: &Gpu) -> Vec<Case> {
    let cases = [
        (1, true, 0),
        (63, true, 0),
        (65, false, 0),
        (70_001, true, 0),
        (1, true, 1),
        (129, true, 65),
        (64, false, 64),
        (70_001, true, 70_000),
    ];
    cases.into_iter().map(adam_case).collect()
}

fn adam_case((elements, accept, decayed): (u32, bool, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(elements));
    let count = elements as usize;
    let (parameters, gradient, first) = (random.floats(count), random.floats(count), random.floats(count));
    let second: Vec<f32> = random.floats(count).iter().map(|v| v.abs()).collect();
    let (t, scale, learning_rate) = (3, 0.5f32, 0.1f32);
    let rates = AdamRates { decay: 0.75, decayed, ..AdamRates::default() };
    let powers = [f64::from(rates.beta1).powi(t), f64::from(rates.beta2).powi(t)];
    let accepted = f32::from(u8::from(accept));
    let state = vec![powers[0] as f32, powers[1] as f32, scale, accepted, 1.0, t as f32, 0.0, 0.0];
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for i in 0..count {
        let [theta, m, v] = [parameters[i], first[i], second[i]].map(f64::from);
        let updated = if accept {
            let decay = if i < decayed as usize { rates.decay } else { 0.0 };
            let rates = AdamRates { decay, ..rates };
            adam_reference([theta, m, v, f64::from(gradient[i] * scale)], f64::from(learning_rate), t as u32, rates)
        } else {
            (theta, m, v)
        };
        expected[0].push(updated.0);
        expected[1].push(updated.1);
        expected[2].push(updated.2);
    }
    let [theta, m, v] = expected.map(|values| Expected::Near { values, tolerance: 5e-6 });
    Case {
        name: format!("({elements}) accept {accept}, {decayed} with weight decay"),
        inputs: vec![
            ("gradient", gradient.into()),
            ("state", state.into()),
            ("step", vec![0, 0, 0, learning_rate.to_bits()].into()),
            ("parameters", parameters.into()),
            ("m", first.into()),
            ("v", second.into()),
        ],
        outputs: vec![("parameters", theta), ("m", m), ("v", v)],
        record: Box::new(move |plan, buffers| {
            Adam::from_case(&buffers.standing_in("state")?)?.record_update(plan, elements, rates)
        }),
    }
}
