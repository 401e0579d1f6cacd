//! `ketformer doctor`: check of every kernel on this adapter against its 64-bit reference.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use ketformer::Result;
use ketformer::bench;
use ketformer::gpu::{Gpu, VariantSelection};
use ketformer::kernels::VARIANTS;
use ketformer::kernels::device::probe;
use ketformer::kernels::{self, Case, Entry};

use crate::cli::arguments::AdapterArguments;
use crate::cli::{Outcome, device, gpu_figures, output};

/// Prints a row for each case of the kernels called `names`, or of all if there are no names, when it finishes, and the
/// number of failed cases. For all kernels, also prints the variants that ran or cannot run on this adapter with the
/// reason, and the variants that training uses. A kernel that this adapter cannot run has a row with the reason. If
/// `quick`, runs only the cases of [`first_and_last`]. For a GPU by `key`, which need not exist, prints the variants
/// that training would use.
///
/// # Errors
/// `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU cannot be opened, `ErrorKind::Settings` for an unknown name or
/// `key`.
pub fn run(names: &[String], arguments: &AdapterArguments, quick: bool, key: Option<&str>) -> Result<Outcome> {
    if let Some(key) = key {
        let figures = gpu_figures::find("doctor", key)?;
        output::line(format!("{}, not opened: no kernel was run\n", figures.name));
        output::line(selected(&Gpu::planning(figures)?)?);
        return Ok(Outcome::Done);
    }
    let entries: Vec<&Entry> = match names {
        [] => kernels::ALL.iter().collect(),
        _ => names.iter().map(|name| kernels::find(name)).collect::<Result<_>>()?,
    };
    let gpu = device::open(arguments)?;
    let info = gpu.info();
    output::line(format!("{} ({:?}, {})", info.name, info.backend, info.driver_info));
    let width = entries.iter().map(|entry| entry.kernel().name.len()).max().unwrap_or(0);
    output::line(format!("{:<4}  {:<width$}  {:>9}  {:>9}  case", "", "kernel", "error", "tolerance"));
    let (mut all, mut cases, mut failed) = (0, 0, 0);
    let mut ran = BTreeMap::new();
    // Hidden unless stderr is a terminal.
    let bar = ProgressBar::new(entries.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("kernel {pos}/{len}  {msg}  {elapsed}  {wide_bar}").expect("a template"),
    );
    for entry in entries {
        let name = entry.kernel().name;
        bar.set_message(name);
        bar.inc(1);
        let mut table = (entry.cases)(&gpu);
        all += table.len();
        if quick {
            table = first_and_last(table);
        }
        if table.is_empty() {
            // Experimental in wgpu, therefore not enabled by default.
            let cooperative = entry.kernel().source.contains("enable wgpu_cooperative_matrix");
            let reason = match gpu.cooperative_matrix() {
                None if cooperative => {
                    "no cooperative matrices; KETFORMER_COOPERATIVE_MATRIX=1 enables them if supported"
                }
                _ => "not supported by this adapter",
            };
            bar.suspend(|| output::line(format!("-     {name:<width$}  {:>9}  {:>9}  {reason}", "", "")));
        }
        for case in table {
            let found = Diagnosis::of(&case, &gpu);
            let verdict = if found.passed { "ok" } else { "FAIL" };
            let numbers = format!("{:>9.1e}  {:>9.1e}", found.error, found.tolerance);
            let row = format!("{verdict:<4}  {name:<width$}  {numbers}  {}{}", case.name, found.remark);
            bar.suspend(|| output::line(row));
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
    bar.finish_and_clear();
    output::line(long_loops(&gpu, width)?);
    if names.is_empty() {
        output::line(variants(&gpu, &ran));
        output::line(selected(&gpu)?);
    }
    let of_all = if quick { format!(" of {all}") } else { String::new() };
    let every = if quick { "; without --quick all of them run" } else { "" };
    if failed == 0 && cases > 0 {
        output::line(format!("{cases}{of_all} cases, all within tolerance{every}"));
        return Ok(Outcome::Done);
    }
    output::line(format!(
        "{cases}{of_all} cases, {failed} failed: update the driver, or choose another adapter by --adapter"
    ));
    Ok(Outcome::Found)
}

/// First and last case of each variant of a kernel, in their order. Tables begin with usual shapes and end with unusual
/// ones.
fn first_and_last(table: Vec<Case>) -> Vec<Case> {
    let variant = |case: &Case| case.variant().map(String::from);
    let variants: Vec<Option<String>> = table.iter().map(variant).collect();
    let is_end = |index: usize| {
        let same = |other: &Option<String>| *other == variants[index];
        !variants[..index].iter().any(same) || !variants[index + 1..].iter().any(same)
    };
    let ends: Vec<bool> = (0..table.len()).map(is_end).collect();
    table.into_iter().zip(ends).filter_map(|(case, is_end)| is_end.then_some(case)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_cases_are_the_ends_of_each_variant() {
        let names = ["1 [a]", "2 [a]", "3 [b]", "4 [a]", "5", "6", "7"];
        let case = |name: &&str| Case {
            name: (*name).into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            record: Box::new(|_, _| Ok(())),
        };
        let kept = first_and_last(names.iter().map(case).collect());
        let kept: Vec<&str> = kept.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(kept, ["1 [a]", "3 [b]", "4 [a]", "5", "7"]);
    }
}
