//! Worker of `ketformer bench attention`: runs kernels of others in a process that can be stopped. Its job is one line of
//! JSON on the standard input; its messages are lines of JSON on the standard output.

use std::io::Read;

use ketformer::arena::{Arena, ArenaConfig, AttentionProblem, BenchRow, Candidate, Event, ForeignKernel, Limits};
use ketformer::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::cli::arguments::AdapterArguments;
use crate::cli::{Outcome, device, output};

/// Work of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Problems, in order.
    pub problems: Vec<AttentionProblem>,
    /// Kernels, in order.
    pub kernels: Vec<WorkerKernel>,
    /// Problems and names of kernels that are left out.
    pub skipped: Vec<(usize, String)>,
    /// First problem.
    pub first: usize,
    /// Limits of the adapter.
    pub limits: Limits,
    /// Settings.
    pub config: ArenaConfig,
}

/// A kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WorkerKernel {
    Packed,
    General,
    Foreign(ForeignKernel),
}

impl WorkerKernel {
    /// `None` for launches of an application, which no other process has.
    pub fn of(candidate: &Candidate) -> Option<Self> {
        Some(match candidate {
            Candidate::Packed => Self::Packed,
            Candidate::General => Self::General,
            Candidate::Foreign(kernel) => Self::Foreign(kernel.clone()),
            Candidate::Custom { .. } => return None,
        })
    }

    fn candidate(self) -> Candidate {
        match self {
            Self::Packed => Candidate::Packed,
            Self::General => Candidate::General,
            Self::Foreign(kernel) => Candidate::Foreign(kernel),
        }
    }
}

/// Message of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The kernel is about to run on the problem.
    Running { problem: usize, kernel: String },
    /// All rows of a problem.
    Finished { problem: usize, rows: Vec<BenchRow> },
    /// The device failed.
    Failed { error: String },
}

fn send(message: &Message) {
    output::line(serde_json::to_string(message).unwrap_or_default());
}

/// Runs the job on the standard input.
///
/// # Errors
/// `ErrorKind::File` without a job; as opening the device.
pub fn run(arguments: &AdapterArguments) -> Result<Outcome> {
    let mut text = String::new();
    let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::File, "bench: a worker needs a job on its standard input").caused_by(e)
    };
    std::io::stdin().read_to_string(&mut text).map_err(|e| unreadable(e.into()))?;
    let job: Job = serde_json::from_str(&text).map_err(|e| unreadable(e.into()))?;
    let gpu = device::open(arguments)?;
    let mut arena = Arena::new(&gpu, job.config, job.limits);
    let candidates: Vec<Candidate> = job.kernels.into_iter().map(WorkerKernel::candidate).collect();
    for (index, problem) in job.problems.iter().enumerate().skip(job.first) {
        let is_wanted =
            |candidate: &&Candidate| !job.skipped.iter().any(|(at, name)| *at == index && name == candidate.name());
        let wanted: Vec<Candidate> = candidates.iter().filter(is_wanted).cloned().collect();
        let rows = arena.run(problem, &wanted, &mut |event| {
            if let Event::Running { kernel, .. } = event {
                send(&Message::Running { problem: index, kernel: kernel.into() });
            }
        });
        match rows {
            Ok(rows) => send(&Message::Finished { problem: index, rows }),
            Err(error) => {
                send(&Message::Failed { error: error.to_string() });
                return Ok(Outcome::Found);
            }
        }
    }
    Ok(Outcome::Done)
}
