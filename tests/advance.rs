//! Steps within the frames of an application: `Trainer::advance` and `Trainer::poll`.

use ketformer::gpu::{Gpu, GpuOptions};
use ketformer::model::{Model, Ptf, Rbm, Rnn};
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{Budget, Optimizer, SharedConfig, StepReport, StochasticReconfiguration, TrainConfig, Trainer};
use ketformer::wgpu;

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

fn ptf() -> Ptf {
    Ptf { patch: Patch::Block([2, 2]), width: 16, heads: 4, feed_forward: 32, ..Ptf::default() }
}

fn trainer(gpu: &Gpu, model: &dyn Model) -> Trainer {
    let config = TrainConfig { samples: 32, ..TrainConfig::default() };
    Trainer::new(gpu, &Lattice::square(4, 4), &Rydberg::default(), model, config).unwrap()
}

/// Index of an empty submission. wgpu counts it up for submissions, and for some polls.
fn submission_index(gpu: &Gpu) -> u64 {
    let text = format!("{:?}", gpu.queue().submit([]));
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// By how much `action` between two empty submissions raises their index.
fn counted(gpu: &Gpu, action: impl FnOnce()) -> u64 {
    let before = submission_index(gpu);
    action();
    submission_index(gpu) - before
}

/// Submits a frame with what `advance` records within `milliseconds`.
fn frame(trainer: &mut Trainer, milliseconds: f64) -> bool {
    let gpu = trainer.gpu().clone();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let is_recorded = trainer.advance(&mut encoder, Budget::milliseconds(milliseconds)).unwrap();
    gpu.queue().submit([encoder.finish()]);
    is_recorded
}

/// The next `steps` reports, from frames of `milliseconds`; and the number of frames.
fn by_frames(trainer: &mut Trainer, steps: usize, milliseconds: f64) -> (Vec<StepReport>, usize) {
    let (mut reports, mut frames) = (Vec::new(), 0);
    while reports.len() < steps {
        frame(trainer, milliseconds);
        frames += 1;
        assert!(frames < 100_000, "no report arrives");
        reports.extend(trainer.poll().unwrap());
    }
    (reports, frames)
}

/// What must not depend on how steps are submitted.
fn results(reports: &[StepReport]) -> Vec<StepReport> {
    reports.iter().map(|report| StepReport { seconds: 0.0, ..report.clone() }).collect()
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
            gpu.wait(None).unwrap();
            let nothing = counted(&gpu, || ());
            let poll = counted(&gpu, || _ = gpu.device().poll(wgpu::PollType::Poll).unwrap());
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let waits = gpu.waits();
            let frame = || _ = trainer.advance(&mut encoder, Budget::milliseconds(2.0)).unwrap();
            assert_eq!(counted(&gpu, frame), nothing, "advance submits");
            assert_eq!(counted(&gpu, || _ = trainer.poll().unwrap()), poll, "poll submits");
            assert_eq!(gpu.waits(), waits, "advance or poll waits");
            gpu.queue().submit([encoder.finish()]);
        }
        assert_eq!(gpu.allocated(), allocated);
    }
}

#[test]
fn steps_in_flight_are_bounded_while_no_report_is_taken() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu, &ptf());
    let mut recorded = 0;
    while frame(&mut trainer, 1e4) {
        recorded += 1;
        assert!(recorded < 1000);
    }
    gpu.wait(None).unwrap();
    let mut reports = Vec::new();
    while let Some(report) = trainer.poll().unwrap() {
        reports.push(report.step);
    }
    assert_eq!(reports, (1..=8).collect::<Vec<_>>());
    assert!(frame(&mut trainer, 1e4), "the reports were taken");
}

#[test]
fn stochastic_reconfiguration_is_refused_with_what_to_do() {
    let optimizer = Optimizer::StochasticReconfiguration(StochasticReconfiguration::default());
    let config = TrainConfig { samples: 32, optimizer, ..TrainConfig::default() };
    let gpu = gpu();
    let mut trainer = Trainer::new(&gpu, &Lattice::square(4, 4), &Rydberg::default(), &ptf(), config).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let refused = trainer.advance(&mut encoder, Budget::milliseconds(1.0)).unwrap_err().to_string();
    assert!(refused.contains("Trainer::steps in a thread"), "{refused}");
}

#[test]
fn a_trainer_can_be_moved_to_another_thread() {
    let mut moved = trainer(&gpu(), &ptf());
    let there = std::thread::spawn(move || moved.steps(1).next().unwrap().unwrap().energy).join().unwrap();
    assert_eq!(there, trainer(&gpu(), &ptf()).steps(1).next().unwrap().unwrap().energy);
}
