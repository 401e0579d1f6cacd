//! Supervision of workers: a kernel that does not end, or that ends its process, gets a row, and the others are measured.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use ketformer::arena::{AttentionProblem, BenchRow, Candidate, Environment, Limits, Status};
use ketformer::bench::BenchConfig;
use ketformer::gpu::Gpu;
use ketformer::{Error, ErrorKind, Result};

use super::worker::{Job, Message, WorkerKernel};
use crate::cli::arguments::AdapterArguments;
use crate::cli::{interrupt, output};

/// Problems after which a kernel that did not end is not started again.
const MOST_TIMEOUTS: usize = 2;
/// Interval in which a request to stop is noticed.
const TICK: Duration = Duration::from_millis(200);

/// A benchmark of attention in workers.
pub struct Supervised<'a> {
    /// The device, for the environment of rows that no worker makes.
    pub gpu: &'a Gpu,
    /// Flags that select it.
    pub adapter: &'a AdapterArguments,
    /// Settings.
    pub config: &'a BenchConfig,
    /// Limits of the adapter.
    pub limits: &'a Limits,
    /// Time after which a run of a kernel is stopped.
    pub timeout: Duration,
    /// Whether progress is not printed.
    pub quiet: bool,
}

/// Why a worker ended early.
enum Ended {
    Stopped,
    Died(String),
}

impl Supervised<'_> {
    /// Rows of all kernels on all problems.
    ///
    /// # Errors
    /// `ErrorKind::Device` if a worker cannot be started or a failure is not that of a kernel; `ErrorKind::Interrupted` if
    /// the user stops.
    pub fn rows(&self) -> Result<Vec<BenchRow>> {
        let problems = self.config.attention_problems();
        let candidates = &self.config.candidates;
        let mut job = Job {
            problems: problems.clone(),
            kernels: candidates.iter().filter_map(WorkerKernel::of).collect(),
            skipped: self.unsupported(&problems),
            first: 0,
            limits: self.limits.clone(),
            config: self.config.arena(self.gpu),
        };
        let mut rows: Vec<(usize, BenchRow)> = Vec::new();
        let mut timeouts: Vec<String> = Vec::new();
        while job.first < problems.len() {
            let mut running = None;
            let ended = self.work(&mut job, &problems, &mut rows, &mut running)?;
            let Some(ended) = ended else { break };
            let Some((at, kernel)) = running else {
                let Ended::Died(message) = ended else { break };
                return Err(Error::new(ErrorKind::Device, format!("bench: {message}")));
            };
            let (status, message) = match ended {
                Ended::Stopped => {
                    timeouts.push(kernel.clone());
                    let seconds = self.timeout.as_secs_f64();
                    (Status::Timeout, format!("a run did not end within {seconds} s; --timeout allows more"))
                }
                Ended::Died(message) => (Status::RuntimeError, message),
            };
            rows.push((at, self.failed(&problems[at], &kernel, status, message)));
            job.skipped.push((at, kernel.clone()));
            if timeouts.iter().filter(|name| **name == kernel).count() >= MOST_TIMEOUTS {
                for (later, problem) in problems.iter().enumerate().skip(at + 1) {
                    let message = format!("not run: it did not end in {MOST_TIMEOUTS} others");
                    rows.push((later, self.failed(problem, &kernel, Status::Timeout, message)));
                    job.skipped.push((later, kernel.clone()));
                }
            }
        }
        let position = |row: &BenchRow| candidates.iter().position(|candidate| candidate.name() == row.kernel);
        rows.sort_by_key(|(at, row)| (*at, position(row)));
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// Kernels of this crate for other shapes, which need no row.
    fn unsupported(&self, problems: &[AttentionProblem]) -> Vec<(usize, String)> {
        let ours = |candidate: &&Candidate| matches!(candidate, Candidate::Packed | Candidate::General);
        let pairs = problems.iter().enumerate().flat_map(|(at, problem)| {
            let others = self.config.candidates.iter().filter(ours).filter(|candidate| !candidate.supports(problem));
            others.map(move |candidate| (at, candidate.name().to_string()))
        });
        pairs.collect()
    }

    /// Runs a worker until it has finished the job, or stops it. `running` is the kernel that ran last.
    fn work(
        &self,
        job: &mut Job,
        problems: &[AttentionProblem],
        rows: &mut Vec<(usize, BenchRow)>,
        running: &mut Option<(usize, String)>,
    ) -> Result<Option<Ended>> {
        let mut child = self.start(job)?;
        let lines = lines_of(&mut child);
        let mut waited = Duration::ZERO;
        let (mut failure, mut told) = (None, Vec::new());
        loop {
            match lines.recv_timeout(TICK) {
                Ok(line) => {
                    waited = Duration::ZERO;
                    match serde_json::from_str(&line) {
                        Ok(Message::Running { problem, kernel }) => {
                            let now = (problem, kernel);
                            if !told.contains(&now) {
                                self.tell(&problems[problem], &now.1);
                                told.push(now.clone());
                            }
                            *running = Some(now);
                        }
                        Ok(Message::Finished { problem, rows: finished }) => {
                            rows.extend(finished.into_iter().map(|row| (problem, row)));
                            (job.first, *running) = (problem + 1, None);
                        }
                        Ok(Message::Failed { error }) => failure = Some(error),
                        Err(_) => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) if interrupt::requested() => {
                    stop(&mut child);
                    return Err(Error::new(ErrorKind::Device, "bench: stopped; nothing was written"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    waited += TICK;
                    if waited >= self.timeout && running.is_some() {
                        stop(&mut child);
                        return Ok(Some(Ended::Stopped));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait();
        if job.first == problems.len() {
            return Ok(None);
        }
        let how = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        Ok(Some(Ended::Died(failure.unwrap_or_else(|| format!("the process that ran it ended: {how}")))))
    }

    fn tell(&self, problem: &AttentionProblem, kernel: &str) {
        if !self.quiet {
            output::progress(&format!("bench {kernel} {} {} {problem}", problem.pass, problem.mask));
        }
    }

    fn start(&self, job: &Job) -> Result<Child> {
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Device, "bench: cannot start a process for kernels of others").caused_by(e)
        };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["bench", "attention", "--worker"]);
        if let Some(adapter) = &self.adapter.adapter {
            command.args(["--adapter", adapter]);
        }
        if self.adapter.no_tuning {
            command.arg("--no-tuning");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let text = serde_json::to_string(job).unwrap_or_default();
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes()).map_err(failed)?;
        }
        Ok(child)
    }

    /// A row that no worker made.
    fn failed(&self, problem: &AttentionProblem, kernel: &str, status: Status, message: String) -> BenchRow {
        let mut row = BenchRow::of_attention(problem, kernel, &Environment::of(self.gpu));
        let foreign = self.config.candidates.iter().find_map(|candidate| match candidate {
            Candidate::Foreign(foreign) if foreign.name == kernel => Some(foreign),
            _ => None,
        });
        (row.file, row.sha256) = (foreign.map(|kernel| kernel.file.clone()), foreign.map(|kernel| kernel.sha256()));
        (row.status, row.error, row.seed) = (status, Some(message), self.config.seed);
        row
    }
}

/// Lines of the output of a worker.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(std::io::Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
    }
    receiver
}

fn stop(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}
