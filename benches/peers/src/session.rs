//! Processes of benchmarks. Both engines run in one process, which a fault of wgpu 30.0 may end: while a driver compiles a
//! kernel for more than a second, a wait of burn may fail an assertion (gfx-rs/wgpu, pull request 9958), and burn's thread
//! ends. What was compiled and tuned is on disk, so the next attempt gets further.

use std::panic;
use std::process::{Command, Stdio, exit};

use crate::engine::Result;
use crate::report::Finished;
use crate::work::Work;

/// Exit code of a process whose burn ended.
const ENDED: i32 = 3;

/// Maximum number of processes of a benchmark.
const ATTEMPTS: usize = 20;

/// Part of the failed assertion's message.
const FAULT: &str = "at least the wait submission index";

/// Makes the fault end this process; burn would wait for its thread forever.
pub fn end_with_burn() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(|message| message.contains(FAULT)) {
            exit(ENDED);
        }
        usual(panic);
    }));
}

/// Runs benchmark `number` of this process's arguments in other processes, until one is not ended by the fault.
pub fn run(work: &Work, number: usize) -> Finished {
    for attempt in 2..=ATTEMPTS + 1 {
        match attempt_one(number) {
            Ok(Some(finished)) => return finished,
            Ok(None) => eprintln!("\n    a fault of wgpu ended burn; attempt {attempt} of {ATTEMPTS}"),
            Err(error) => return Finished::failed(work, error.to_string()),
        }
    }
    Finished::failed(work, format!("a fault of wgpu ended burn in {ATTEMPTS} attempts"))
}

/// `None` if the fault ended it.
fn attempt_one(number: usize) -> Result<Option<Finished>> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).args(["--only", &number.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    match output.status.code() {
        Some(0) => Ok(Some(serde_json::from_slice(&output.stdout)?)),
        Some(ENDED) => Ok(None),
        _ => Err(format!("the process of the benchmark ended with {}", output.status).into()),
    }
}
