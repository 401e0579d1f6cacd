//! Faults of files and command lines: damaged files of run folders, and random command lines. The program must never
//! panic, hang, lose rows or replace a setting by a default.
//!
//! `KETFORMER_FAULTS=20` runs 20 times as many faults as by default. They are the same ones in every run.

mod command_lines;
mod files;
mod law;
mod mutation;
#[path = "../program/mod.rs"]
mod program;

use std::sync::atomic::{AtomicU64, Ordering};

/// Runs `check` on the numbers from 0 to `count` times the factor of `KETFORMER_FAULTS`, on all cores, and panics with
/// all failures that it returns.
fn for_each_fault(count: u64, check: impl Fn(u64) -> Result<(), String> + Sync) {
    let factor =
        std::env::var("KETFORMER_FAULTS").map_or(1, |text| text.parse().expect("KETFORMER_FAULTS is a number"));
    let count: u64 = count * factor;
    let next = AtomicU64::new(0);
    let worker = || {
        let mut failures = Vec::new();
        loop {
            let fault = next.fetch_add(1, Ordering::Relaxed);
            if fault >= count {
                return failures;
            }
            if let Err(failure) = check(fault) {
                failures.push(format!("{fault}: {failure}"));
            }
        }
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic in the test itself")).collect()
    });
    assert!(failures.is_empty(), "{} of {count} faults:\n{}", failures.len(), failures.join("\n"));
}
