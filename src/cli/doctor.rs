//! `ketformer doctor`: every kernel on this adapter against its reference in 64-bit floats.

use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::kernels::{self, Case};

use super::arguments::AdapterArguments;
use super::{Outcome, output};

/// Prints a row for each case as it is done, then how many failed. A kernel that this adapter cannot run has a row that
/// says so.
///
/// # Errors
/// `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU cannot be opened.
pub fn run(arguments: &AdapterArguments) -> Result<Outcome> {
    let gpu = Gpu::with_options(&arguments.gpu_options())?;
    let info = gpu.info();
    output::line(format!("{} ({:?}, {})", info.name, info.backend, info.driver_info));
    let width = kernels::ALL.iter().map(|entry| entry.kernel.name.len()).max().unwrap_or(0);
    output::line(format!("{:<4}  {:<width$}  {:>9}  {:>9}  case", "", "kernel", "error", "tolerance"));
    let (mut cases, mut failed) = (0, 0);
    for entry in kernels::ALL {
        let name = entry.kernel.name;
        let table = (entry.cases)(&gpu);
        if table.is_empty() {
            // Experimental in wgpu, and so not asked for by itself.
            let cooperative = entry.kernel.source.contains("enable wgpu_cooperative_matrix");
            let reason = match gpu.cooperative_matrix() {
                None if cooperative => {
                    "no cooperative matrices; KETFORMER_COOPERATIVE_MATRIX=1 asks the adapter for them"
                }
                _ => "not for this adapter",
            };
            output::line(format!("-     {name:<width$}  {:>9}  {:>9}  {reason}", "", ""));
        }
        for case in table {
            let found = Diagnosis::of(&case, &gpu);
            let verdict = if found.passed { "ok" } else { "FAIL" };
            let numbers = format!("{:>9.1e}  {:>9.1e}", found.error, found.tolerance);
            output::line(format!("{verdict:<4}  {name:<width$}  {numbers}  {}{}", case.name, found.remark));
            cases += 1;
            failed += usize::from(!found.passed);
        }
    }
    if failed == 0 && cases > 0 {
        output::line(format!("{cases} cases, all within tolerance"));
        return Ok(Outcome::Done);
    }
    output::line(format!("{cases} cases, {failed} failed: update the driver, or choose another adapter by --adapter"));
    Ok(Outcome::Found)
}

/// The worst output of one case.
struct Diagnosis {
    passed: bool,
    error: f64,
    tolerance: f64,
    remark: String,
}

impl Diagnosis {
    fn of(case: &Case, gpu: &Gpu) -> Self {
        let measured = match case.run(gpu) {
            Ok(words) => case.compare(&words),
            Err(error) => {
                return Self { passed: false, error: f64::INFINITY, tolerance: 0.0, remark: format!(": {error}") };
            }
        };
        // Failed ones first, then by how much of the tolerance is used.
        let used = |error: f64, tolerance: f64| if tolerance > 0.0 { error / tolerance } else { error };
        let worst = measured.iter().max_by(|a, b| {
            let of = |output: &kernels::Measured| (!output.passed(), used(output.error, output.tolerance));
            of(a).0.cmp(&of(b).0).then(of(a).1.total_cmp(&of(b).1))
        });
        match worst {
            Some(worst) => Self {
                passed: worst.passed(),
                error: worst.error,
                tolerance: worst.tolerance,
                remark: if worst.passed() { String::new() } else { format!(": output {}", worst.output) },
            },
            None => Self { passed: false, error: f64::NAN, tolerance: 0.0, remark: ": compares nothing".into() },
        }
    }
}
