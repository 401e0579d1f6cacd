//! Steps of Adam.

use ketformer::gpu::{Gpu, GpuOptions};
use ketformer::model::{Model, Ptf, Rbm, Rnn};
use ketformer::physics::{Hamiltonian, Lattice, Patch, Rydberg, Tfim};
use ketformer::vmc::{SharedConfig, TrainConfig, Trainer};
use ketformer::wgpu;

use super::{by_frames, frame, gpu, in_flight, quiet_frame, results};

fn ptf() -> Ptf {
    Ptf { patch: Patch::Block([2, 2]), width: 16, heads: 4, feed_forward: 32, ..Ptf::default() }
}

fn trainer(gpu: &Gpu, model: &dyn Model) -> Trainer {
    let config = TrainConfig { samples: 32, ..TrainConfig::default() };
    Trainer::new(gpu, &Lattice::square(4, 4), &Rydberg::default(), model, config).unwrap()
}

#[test]
fn frames_give_the_bits_of_the_blocking_steps() {
    let gpu = gpu();
    let rbm = Rbm::default();
    let models: [&dyn Model; 3] = [&ptf(), &Rnn { width: 16, ..Rnn::default() }, &rbm];
    for model in models {
        let name = model.name();
        let expected: Vec<_> = trainer(&gpu, model).steps(4).map(Result::unwrap).collect();
        let mut framed = trainer(&gpu, model);
        // One launch in a frame, and a whole step.
        let (mut reports, frames) = by_frames(&mut framed, 1, 0.0);
        assert!(frames > 20, "{name}: a frame without time has one launch, and a step took {frames} frames");
        reports.extend(by_frames(&mut framed, 3, 1e4).0);
        assert_eq!(results(&reports), results(&expected), "{name}");
    }
}

#[test]
fn the_blocking_steps_complete_what_a_frame_began() {
    let gpu = gpu();
    let mut expected = trainer(&gpu, &ptf());
    let all: Vec<_> = expected.steps(3).map(Result::unwrap).collect();
    let mut framed = trainer(&gpu, &ptf());
    let (mut reports, _) = by_frames(&mut framed, 1, 1e4);
    // Steps in flight, and one that is recorded in part.
    while framed.poll().unwrap().map(|report| reports.push(report)).is_some() {}
    frame(&mut framed, 0.0);
    let refused = framed.checkpoint().unwrap_err().to_string();
    assert!(refused.contains("steps are under way"), "{refused}");
    reports.extend(framed.steps(3).map(Result::unwrap));
    assert_eq!(results(&reports[..3]), results(&all));
    // The one that was recorded in part is complete, and 3 more were made.
    let taken = reports.len() as u64;
    let checkpoint = framed.checkpoint().unwrap();
    assert_eq!(checkpoint.step, taken);
    assert_eq!(expected.steps(taken - 3).filter(Result::is_ok).count() as u64, taken - 3);
    assert_eq!(expected.checkpoint().unwrap(), checkpoint);
}

#[test]
fn new_weights_begin_a_partial_step_again() {
    let gpu = gpu();
    let mut framed = trainer(&gpu, &ptf());
    let start = framed.weights().unwrap();
    let expected: Vec<_> = trainer(&gpu, &ptf()).steps(2).map(Result::unwrap).collect();
    (0..5).for_each(|_| assert!(frame(&mut framed, 0.0)));
    framed.set_weights(&start).unwrap();
    let (reports, _) = by_frames(&mut framed, 2, 1e4);
    assert_eq!(results(&reports), results(&expected));
}

#[test]
fn couplings_change_between_steps() {
    let gpu = gpu();
    let rbm = Rbm::default();
    let models: [&dyn Model; 2] = [&ptf(), &rbm];
    for model in models {
        let strong = Rydberg { v: 3.0, delta: 2.5, omega: 0.7 };
        let mut changed = trainer(&gpu, model);
        let before: Vec<_> = changed.steps(2).map(Result::unwrap).collect();
        let checkpoint = changed.checkpoint().unwrap();
        // A step that was begun before the change begins again.
        (0..3).for_each(|_| assert!(frame(&mut changed, 0.0)));
        changed.restore(&checkpoint).unwrap();
        changed.set_hamiltonian(&strong).unwrap();
        let config = TrainConfig { samples: 32, ..TrainConfig::default() };
        let mut expected = Trainer::new(&gpu, &Lattice::square(4, 4), &strong, model, config).unwrap();
        expected.restore(&checkpoint).unwrap();
        let expected: Vec<_> = expected.steps(2).map(Result::unwrap).collect();
        let reports: Vec<_> = changed.steps(2).map(Result::unwrap).collect();
        assert_eq!(results(&reports), results(&expected), "{}", model.name());
        assert!(before[1].energy != reports[0].energy);
        // Terms on other sites need a new trainer, and change nothing.
        for other in [&Tfim::default() as &dyn Hamiltonian, &Rydberg { v: 0.0, ..strong }] {
            let refused = changed.set_hamiltonian(other).unwrap_err().to_string();
            assert!(refused.contains("new Trainer"), "{refused}");
        }
        assert_eq!(changed.steps(1).filter(Result::is_ok).count(), 1);
    }
}

#[test]
fn a_frame_submits_nothing_waits_for_nothing_and_creates_no_buffer() {
    for timestamps in [true, false] {
        let features = if timestamps { wgpu::Features::TIMESTAMP_QUERY } else { wgpu::Features::empty() };
        let gpu = match timestamps {
            true => gpu(),
            // WebGPU's defaults have no timestamps.
            false => Gpu::with_options(&GpuOptions { webgpu_defaults: true, ..GpuOptions::default() }).unwrap(),
        };
        assert!(gpu.features().contains(features));
        let mut trainer = trainer(&gpu, &ptf());
        trainer.share(&SharedConfig::default()).unwrap();
        by_frames(&mut trainer, 3, 2.0);
        let allocated = gpu.allocated();
        for _ in 0..40 {
            quiet_frame(&mut trainer);
        }
        assert_eq!(gpu.allocated(), allocated);
    }
}

#[test]
fn steps_in_flight_are_bounded_while_no_report_is_taken() {
    let steps = in_flight(&mut trainer(&gpu(), &ptf()));
    assert_eq!(steps.iter().map(|report| report.step).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_trainer_can_be_moved_to_another_thread() {
    let mut moved = trainer(&gpu(), &ptf());
    let there = std::thread::spawn(move || moved.steps(1).next().unwrap().unwrap().energy).join().unwrap();
    assert_eq!(there, trainer(&gpu(), &ptf()).steps(1).next().unwrap().unwrap().energy);
}

#[test]
fn a_step_can_be_completed_within_frames_for_a_checkpoint() {
    let gpu = gpu();
    let mut framed = trainer(&gpu, &Rbm::default());
    let (mut reports, _) = by_frames(&mut framed, 1, 1e4);
    while framed.is_at_rest() {
        frame(&mut framed, 0.0);
    }
    reports.extend(super::to_rest(&mut framed));
    let checkpoint = framed.checkpoint().unwrap();
    assert_eq!(checkpoint.step, reports.len() as u64);
    let mut expected = trainer(&gpu, &Rbm::default());
    assert_eq!(results(&expected.steps(checkpoint.step).map(Result::unwrap).collect::<Vec<_>>()), results(&reports));
    assert_eq!(expected.checkpoint().unwrap(), checkpoint);
}

#[test]
fn a_checkpoint_is_restored_while_steps_are_under_way() {
    let gpu = gpu();
    for model in [&ptf() as &dyn Model, &Rbm::default()] {
        let mut expected = trainer(&gpu, model);
        assert_eq!(expected.steps(2).filter(Result::is_ok).count(), 2);
        let checkpoint = expected.checkpoint().unwrap();
        let expected: Vec<_> = expected.steps(2).map(Result::unwrap).collect();
        let mut framed = trainer(&gpu, model);
        by_frames(&mut framed, 1, 1e4);
        // Steps in flight, and one that is recorded in part.
        frame(&mut framed, 1e4);
        (0..5).for_each(|_| _ = frame(&mut framed, 0.0));
        framed.restore(&checkpoint).unwrap();
        assert!(framed.is_at_rest());
        assert_eq!(results(&by_frames(&mut framed, 2, 1e4).0), results(&expected), "{}", model.name());
    }
}
