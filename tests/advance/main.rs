//! Steps within the frames of an application: `advance`, `complete` and `poll` of trainers.

mod adam;
mod gpt;
mod reconfiguration;

use ketformer::gpt::{GptReport, GptTrainer};
use ketformer::gpu::Gpu;
use ketformer::vmc::{Budget, StepReport, Trainer};
use ketformer::{Result, wgpu};

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

/// A trainer of either kind.
trait Framed {
    type Report: Report;
    fn gpu(&self) -> Gpu;
    fn advance(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool>;
    fn complete(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool>;
    fn poll(&mut self) -> Result<Option<Self::Report>>;
    fn is_at_rest(&self) -> bool;
}

macro_rules! framed {
    ($trainer:ty, $report:ty) => {
        impl Framed for $trainer {
            type Report = $report;
            fn gpu(&self) -> Gpu {
                <$trainer>::gpu(self).clone()
            }
            fn advance(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
                <$trainer>::advance(self, encoder, budget)
            }
            fn complete(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
                <$trainer>::complete(self, encoder, budget)
            }
            fn poll(&mut self) -> Result<Option<$report>> {
                <$trainer>::poll(self)
            }
            fn is_at_rest(&self) -> bool {
                <$trainer>::is_at_rest(self)
            }
        }

        impl Report for $report {
            fn result(&self) -> Self {
                Self { seconds: 0.0, ..self.clone() }
            }
        }
    };
}

framed!(Trainer, StepReport);
framed!(GptTrainer, GptReport);

trait Report {
    /// What must not depend on how steps are submitted.
    fn result(&self) -> Self;
}

fn results<R: Report>(reports: &[R]) -> Vec<R> {
    reports.iter().map(Report::result).collect()
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device().create_command_encoder(&Default::default())
}

/// Submits a frame with what `advance` records within `milliseconds`.
fn frame(trainer: &mut impl Framed, milliseconds: f64) -> bool {
    let gpu = trainer.gpu();
    let mut encoder = encoder(&gpu);
    let is_recorded = trainer.advance(&mut encoder, Budget::milliseconds(milliseconds)).unwrap();
    gpu.queue().submit([encoder.finish()]);
    is_recorded
}

/// The next `steps` reports, from frames of `milliseconds`; and the number of frames.
fn by_frames<T: Framed>(trainer: &mut T, steps: usize, milliseconds: f64) -> (Vec<T::Report>, usize) {
    let (mut reports, mut frames) = (Vec::new(), 0);
    while reports.len() < steps {
        frame(trainer, milliseconds);
        frames += 1;
        assert!(frames < 1_000_000, "no report arrives");
        reports.extend(trainer.poll().unwrap());
    }
    (reports, frames)
}

/// Completes the step that is recorded in part, and returns all reports.
fn to_rest<T: Framed>(trainer: &mut T) -> Vec<T::Report> {
    let gpu = trainer.gpu();
    let mut reports = Vec::new();
    while !trainer.is_at_rest() {
        let mut encoder = encoder(&gpu);
        trainer.complete(&mut encoder, Budget::milliseconds(1.0)).unwrap();
        gpu.queue().submit([encoder.finish()]);
        reports.extend(trainer.poll().unwrap());
    }
    reports
}

/// The reports of all steps that are recorded while none is taken.
fn in_flight<T: Framed>(trainer: &mut T) -> Vec<T::Report> {
    let mut recorded = 0;
    while frame(trainer, 1e4) {
        recorded += 1;
        assert!(recorded < 1000);
    }
    trainer.gpu().wait(None).unwrap();
    let reports = std::iter::from_fn(|| trainer.poll().unwrap()).collect();
    assert!(frame(trainer, 1e4), "the reports were taken");
    reports
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

/// A frame of 2 ms, of which it asserts that `advance` and `poll` submit nothing and wait for nothing.
fn quiet_frame<T: Framed>(trainer: &mut T) -> Option<T::Report> {
    let gpu = trainer.gpu();
    gpu.wait(None).unwrap();
    let nothing = counted(&gpu, || ());
    let poll = counted(&gpu, || _ = gpu.device().poll(wgpu::PollType::Poll).unwrap());
    let mut encoder = encoder(&gpu);
    let waits = gpu.waits();
    let frame = || _ = trainer.advance(&mut encoder, Budget::milliseconds(2.0)).unwrap();
    assert_eq!(counted(&gpu, frame), nothing, "advance submits");
    let mut report = None;
    assert_eq!(counted(&gpu, || report = trainer.poll().unwrap()), poll, "poll submits");
    assert_eq!(gpu.waits(), waits, "advance or poll waits");
    gpu.queue().submit([encoder.finish()]);
    report
}
