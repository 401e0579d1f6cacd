//! Steps of stochastic reconfiguration.

use ketformer::gpu::Gpu;
use ketformer::model::{Model, Ptf, Rbm, Rnn};
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{Annealing, Optimizer, SamplingPower, StochasticReconfiguration, TrainConfig, Trainer};

use super::{by_frames, frame, gpu, quiet_frame, results, to_rest};

fn ptf() -> Ptf {
    Ptf { patch: Patch::Block([2, 2]), width: 16, heads: 4, feed_forward: 32, ..Ptf::default() }
}

fn config(settings: StochasticReconfiguration) -> TrainConfig {
    let optimizer = Optimizer::StochasticReconfiguration(settings);
    TrainConfig { samples: 48, optimizer, learning_rate: 1e-2, clip: Some(0.3), ..TrainConfig::default() }
}

fn trainer(gpu: &Gpu, model: &dyn Model, config: &TrainConfig) -> Trainer {
    Trainer::new(gpu, &Lattice::square(4, 4), &Rydberg::default(), model, config.clone()).unwrap()
}

#[test]
fn frames_give_the_bits_of_the_blocking_steps() {
    let gpu = gpu();
    let plain = StochasticReconfiguration::default();
    let momentum = StochasticReconfiguration { momentum: 0.9, ..plain };
    let annealed = TrainConfig { annealing: Annealing { start: 1.0, end: 0.0, steps: 10 }, ..config(momentum) };
    let power = StochasticReconfiguration { sampling_power: SamplingPower::Fixed(1.5), ..plain };
    let cases: [(&dyn Model, TrainConfig); 4] = [
        (&ptf(), annealed),
        (&ptf(), TrainConfig { memory: Some(11 << 20), ..config(plain) }),
        (&Rbm::default(), config(power)),
        (&Rnn { width: 16, ..Rnn::default() }, config(momentum)),
    ];
    for (model, config) in cases {
        let name = model.name();
        let mut blocking = trainer(&gpu, model, &config);
        let expected: Vec<_> = blocking.steps(3).map(Result::unwrap).collect();
        let mut framed = trainer(&gpu, model, &config);
        // One launch in a frame, and all that does not wait for the host.
        let (mut reports, frames) = by_frames(&mut framed, 1, 0.0);
        assert!(frames > 20, "{name}: a frame without time has one launch, and a step took {frames} frames");
        reports.extend(by_frames(&mut framed, 2, 1e4).0);
        assert!(reports.iter().all(|report| report.reconfiguration.is_some()), "{reports:?}");
        assert_eq!(results(&reports), results(&expected), "{name}");
        to_rest(&mut framed);
        let ahead = framed.checkpoint().unwrap().step - 3;
        assert_eq!(blocking.steps(ahead).filter(Result::is_ok).count() as u64, ahead);
        assert_eq!(framed.checkpoint().unwrap(), blocking.checkpoint().unwrap(), "{name}");
    }
}

#[test]
fn a_frame_submits_nothing_waits_for_nothing_and_creates_no_buffer() {
    let gpu = gpu();
    let settings = StochasticReconfiguration { momentum: 0.9, ..StochasticReconfiguration::default() };
    let mut trainer = trainer(&gpu, &ptf(), &config(settings));
    by_frames(&mut trainer, 1, 2.0);
    let allocated = gpu.allocated();
    let mut reports = 0;
    while reports < 3 {
        reports += usize::from(quiet_frame(&mut trainer).is_some());
        assert_eq!(gpu.allocated(), allocated);
    }
}

/// At every point of a step, the blocking form completes it, and new weights or a restored state begin it again.
#[test]
fn a_step_is_completed_or_begun_again_from_every_point() {
    let gpu = gpu();
    let config = config(StochasticReconfiguration::default());
    let mut blocking = trainer(&gpu, &ptf(), &config);
    let start = blocking.checkpoint().unwrap();
    let expected: Vec<_> = blocking.steps(2).map(Result::unwrap).collect();
    let expected = results(&expected);
    let (mut completed, mut restarted, mut restored) =
        (trainer(&gpu, &ptf(), &config), trainer(&gpu, &ptf(), &config), trainer(&gpu, &ptf(), &config));
    for point in 1.. {
        for framed in [&mut completed, &mut restarted, &mut restored] {
            for _ in 0..point {
                frame(framed, 20.0);
                // Results arrive before the next frame.
                gpu.wait(None).unwrap();
                if framed.poll().unwrap().is_some() {
                    assert!(point > 4, "a step takes several frames");
                    return;
                }
            }
        }
        let reports: Vec<_> = completed.steps(1).map(Result::unwrap).collect();
        assert_eq!(results(&reports), expected[..reports.len()], "{point}");
        completed.restore(&start).unwrap();
        restarted.set_weights(&start.weights).unwrap();
        assert_eq!(results(&by_frames(&mut restarted, 1, 1e4).0), expected[..1], "{point}");
        restarted.restore(&start).unwrap();
        restored.restore(&start).unwrap();
        assert_eq!(results(&by_frames(&mut restored, 1, 1e4).0), expected[..1], "{point}");
        restored.restore(&start).unwrap();
    }
}

#[test]
fn a_step_that_is_not_finite_is_rejected() {
    let gpu = gpu();
    let settings = StochasticReconfiguration { momentum: 0.9, ..StochasticReconfiguration::default() };
    let mut framed = trainer(&gpu, &ptf(), &config(settings));
    let mut weights = framed.weights().unwrap();
    for tensor in weights.tensors.values_mut() {
        tensor.values.fill(1e30);
    }
    framed.set_weights(&weights).unwrap();
    let (reports, _) = by_frames(&mut framed, 1, 1e4);
    assert!(!reports[0].accepted && reports[0].reconfiguration.is_none(), "{reports:?}");
    to_rest(&mut framed);
    assert!(framed.weights().unwrap() == weights, "a rejected step moved weights");
}
