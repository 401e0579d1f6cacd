//! `ketformer doctor`: every kernel on this adapter against its reference in 64-bit floats.

use std::collections::BTreeMap;

use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::kernels::choice::FORMS;
use ketformer::kernels::{self, Case, probe};

use super::arguments::AdapterArguments;
use super::{Outcome, device, output};

/// Prints a row for each case as it is done, then the variants of kernels that ran and those that cannot run here and why,
/// then how many cases failed. A kernel that this adapter cannot run has a row that says so.
///
/// # Errors
/// `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU cannot be opened.
pub fn run(arguments: &AdapterArguments) -> Result<Outcome> {
    let gpu = device::open(arguments)?;
    let info = gpu.info();
    output::line(format!("{} ({:?}, {})", info.name, info.backend, info.driver_info));
    let width = kernels::ALL.iter().map(|entry| entry.kernel.name.len()).max().unwrap_or(0);
    output::line(format!("{:<4}  {:<width$}  {:>9}  {:>9}  case", "", "kernel", "error", "tolerance"));
    let (mut cases, mut failed) = (0, 0);
    let mut ran = BTreeMap::new();
    for entry in kernels::ALL {
        let name = entry.kernel.name;
        let table = (entry.cases)(&gpu);
        if table.is_empty() {
            output::line(format!("-     {name:<width$}  {:>9}  {:>9}  not for this adapter", "", ""));
        }
        for case in table {
            let found = Diagnosis::of(&case, &gpu);
            let verdict = if found.passed { "ok" } else { "FAIL" };
            let numbers = format!("{:>9.1e}  {:>9.1e}", found.error, found.tolerance);
            output::line(format!("{verdict:<4}  {name:<width$}  {numbers}  {}{}", case.name, found.remark));
            cases += 1;
            failed += usize::from(!found.passed);
            if let Some(form) = case.form() {
                let (cases, failed): &mut (usize, usize) = ran.entry((name.to_string(), form.to_string())).or_default();
                *cases += 1;
                *failed += usize::from(!found.passed);
            }
        }
    }
    output::line(long_loops(&gpu, width)?);
    output::line(variants(&gpu, &ran));
    if failed == 0 && cases > 0 {
        output::line(format!("{cases} cases, all within tolerance"));
        return Ok(Outcome::Done);
    }
    output::line(format!("{cases} cases, {failed} failed: update the driver, or choose another adapter by --adapter"));
    Ok(Outcome::Found)
}

/// What the driver makes of long loops: no failure either way, as no kernel has any.
fn long_loops(gpu: &Gpu, width: usize) -> Result<String> {
    let said = match probe::long_loops_end(gpu)? {
        true => "loops beyond 65535 iterations run to their end",
        false => "this driver silently ends shaders after 65535 loop iterations; no kernel here has as many",
    };
    Ok(format!("note  {:<width$}  {:>9}  {:>9}  {said}", "probe_loop", "", ""))
}

/// Every variant of the kernels that have several: how many cases ran in it, or why none can.
fn variants(gpu: &Gpu, ran: &BTreeMap<(String, String), (usize, usize)>) -> String {
    let mut rows = vec![["kernel", "variant", "launches", "on this adapter"].map(String::from)];
    for forms in FORMS {
        for form in forms.all {
            let launched = forms.launched(form);
            let said = match (ran.get(&(launched.clone(), form.name.to_string())), forms.obstacle(gpu, form)) {
                (_, Some(obstacle)) => format!("not here: needs {obstacle}"),
                (Some((cases, 0)), None) => format!("{cases} cases ok"),
                (Some((cases, failed)), None) => format!("{cases} cases, {failed} FAILED"),
                (None, None) => "runs, but no case of its own fits".into(),
            };
            rows.push([forms.kernel.into(), form.name.into(), launched, said]);
        }
    }
    format!("\n{}\n", output::table(rows.into_iter()))
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
