//! `ketformer doctor`: check of every kernel on this adapter against its 64-bit reference.

use std::collections::BTreeMap;

use ketformer::Result;
use ketformer::bench;
use ketformer::gpu::{Gpu, VariantSelection};
use ketformer::kernels::VARIANTS;
use ketformer::kernels::device::probe;
use ketformer::kernels::{self, Case};

use crate::cli::arguments::AdapterArguments;
use crate::cli::{Outcome, device, gpu_figures, output};

/// Prints a row for each case when it finishes, then the kernel variants that ran or cannot run on this adapter with
/// the reason, the variants that training uses, and the number of failed cases. A kernel that this adapter cannot run
/// has a row with the reason. For a GPU by `key`, which need not exist, prints the variants that training would use.
///
/// # Errors
/// `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU cannot be opened, `ErrorKind::Settings` for an unknown `key`.
pub fn run(arguments: &AdapterArguments, key: Option<&str>) -> Result<Outcome> {
    if let Some(key) = key {
        let figures = gpu_figures::find("doctor", key)?;
        output::line(format!("{}, not opened: no kernel was run\n", figures.name));
        output::line(selected(&Gpu::planning(figures)?)?);
        return Ok(Outcome::Done);
    }
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
            // Experimental in wgpu, therefore not enabled by default.
            let cooperative = entry.kernel.source.contains("enable wgpu_cooperative_matrix");
            let reason = match gpu.cooperative_matrix() {
                None if cooperative => {
                    "no cooperative matrices; KETFORMER_COOPERATIVE_MATRIX=1 enables them if supported"
                }
                _ => "not supported by this adapter",
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
            if let Some(variant) = case.variant() {
                let (cases, failed): &mut (usize, usize) =
                    ran.entry((name.to_string(), variant.to_string())).or_default();
                *cases += 1;
                *failed += usize::from(!found.passed);
            }
        }
    }
    output::line(long_loops(&gpu, width)?);
    output::line(variants(&gpu, &ran));
    output::line(selected(&gpu)?);
    if failed == 0 && cases > 0 {
        output::line(format!("{cases} cases, all within tolerance"));
        return Ok(Outcome::Done);
    }
    output::line(format!("{cases} cases, {failed} failed: update the driver, or choose another adapter by --adapter"));
    Ok(Outcome::Found)
}

/// Reports whether the driver runs long loops to their end. Neither result is a failure, as no kernel has such loops.
fn long_loops(gpu: &Gpu, width: usize) -> Result<String> {
    let said = match probe::long_loops_end(gpu)? {
        true => "loops beyond 65535 iterations run to their end",
        false => "this driver silently ends shaders after 65535 loop iterations; no kernel has as many",
    };
    Ok(format!("note  {:<width$}  {:>9}  {:>9}  {said}", "probe_loop", "", ""))
}

/// Table of the variants of all kernels that have several: number of cases that ran, or the reason why none can.
fn variants(gpu: &Gpu, ran: &BTreeMap<(String, String), (usize, usize)>) -> String {
    let mut rows = vec![["kernel", "variant", "launches", "on this adapter"].map(String::from)];
    for variants in VARIANTS {
        for variant in variants.all {
            let launched = variants.launched(variant);
            let said = match (
                ran.get(&(launched.clone(), variant.name.to_string())),
                variants.unsupported_reason(gpu, variant),
            ) {
                (_, Some(unsupported_reason)) => format!("unsupported: needs {unsupported_reason}"),
                (Some((cases, 0)), None) => format!("{cases} cases ok"),
                (Some((cases, failed)), None) => format!("{cases} cases, {failed} FAILED"),
                (None, None) => "runs, but no case fits".into(),
            };
            rows.push([variants.kernel.into(), variant.name.into(), launched, said]);
        }
    }
    format!("\n{}\n", output::table(rows.into_iter()))
}

/// Table of the variants that training steps and attention use, by class of shapes.
fn selected(gpu: &Gpu) -> Result<String> {
    let mut rows = vec![["kernel", "shapes", "variant", "because of"].map(String::from)];
    let row = |selection: VariantSelection| {
        let VariantSelection { kernel, class, taken, reason, .. } = selection;
        [kernel.into(), class, taken.into(), reason]
    };
    rows.extend(bench::selections(gpu)?.into_iter().map(row));
    Ok(format!("{}\n", output::table(rows.into_iter())))
}

/// Worst output of one case.
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
        // Failed outputs first, then by the fraction of the tolerance that is used.
        let used = |error: f64, tolerance: f64| if tolerance > 0.0 { error / tolerance } else { error };
        let worst = measured.iter().max_by(|a, b| {
            let of = |output: &kernels::Comparison| (!output.passed(), used(output.error, output.tolerance));
            of(a).0.cmp(&of(b).0).then(of(a).1.total_cmp(&of(b).1))
        });
        match worst {
            Some(worst) => Self {
                passed: worst.passed(),
                error: worst.error,
                tolerance: worst.tolerance,
                remark: if worst.passed() { String::new() } else { format!(": output {}", worst.output) },
            },
            None => Self { passed: false, error: f64::NAN, tolerance: 0.0, remark: ": has no outputs".into() },
        }
    }
}
