//! Every kernel on this machine's adapter against its f64 reference.

mod devices;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use devices::devices;
use ketformer::ErrorKind;
use ketformer::gpu::Gpu;
use ketformer::kernels::variant::Variant;
use ketformer::kernels::{ALL, Case, Entry, VARIANTS, Values};

/// Results of `check` for every kernel, on all devices in parallel. Each kernel always runs on the same device.
fn for_every_kernel<T: Send>(check: impl Fn(&Gpu, &Entry) -> T + Sync) -> Vec<T> {
    let devices = devices();
    let check = &check;
    std::thread::scope(|scope| {
        let of_device = |first: usize| {
            move || -> Vec<T> {
                let own = ALL.iter().skip(first).step_by(devices.len());
                own.map(|entry| check(&devices[first], entry)).collect()
            }
        };
        let workers: Vec<_> = (0..devices.len()).map(|first| scope.spawn(of_device(first))).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<T>>| match worker.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().flat_map(join).collect()
    })
}

/// Result of a case of a kernel.
struct Ran {
    kernel: &'static str,
    /// For a case of a variant: kernel that the variants belong to, reduction order and name of the variant, and name
    /// of the case without the variant.
    variant: Option<(&'static str, u32, &'static str, String)>,
    name: String,
    failures: Vec<String>,
    /// Failures of one case of each kernel in buffers without padding.
    unpadded: Option<Vec<String>>,
    /// Hash of the output words.
    digest: u64,
}

/// Every case of every kernel, run once.
fn all_cases() -> &'static [Ran] {
    static RAN: OnceLock<Vec<Ran>> = OnceLock::new();
    let run = |gpu: &Gpu, entry: &Entry, case: &Case| {
        let kernel = entry.kernel.name;
        let (failures, digest) = match case.run(gpu) {
            Ok(words) => {
                let wrong = case.compare(&words).into_iter().filter(|m| !m.passed());
                let mut hasher = DefaultHasher::new();
                words.hash(&mut hasher);
                (wrong.map(|m| format!("{m:?}")).collect(), hasher.finish())
            }
            Err(error) => (vec![error.to_string()], 0),
        };
        let variant = variant_of(kernel, case).map(|(choice, variant)| {
            let shape = case.name.split(" [").next().unwrap_or_default().to_string();
            (choice, variant.reduction_order, variant.name, shape)
        });
        Ran { kernel, variant, name: case.name.clone(), failures, unpadded: None, digest }
    };
    RAN.get_or_init(|| {
        let found = for_every_kernel(|gpu, entry| -> Vec<Ran> {
            let cases = (entry.cases)(gpu);
            let mut ran: Vec<Ran> = cases.iter().map(|case| run(gpu, entry, case)).collect();
            // Panels read textures, which buffers of a caller do not have.
            let odd = cases.iter().position(is_odd).filter(|_| !entry.kernel.name.ends_with("_panel"));
            if let Some(odd) = odd {
                ran[odd].unpadded = Some(without_padding(gpu, &cases[odd]));
            }
            ran
        });
        found.into_iter().flatten().collect()
    })
}

/// Whether padding makes an input longer.
fn is_odd(case: &Case) -> bool {
    let floats = |values: &Values| if let Values::F32(values) = values { values.len() } else { 0 };
    case.inputs.iter().any(|(_, values)| !floats(values).is_multiple_of(4))
}

/// Failures of a case in buffers without padding. A buffer shorter than a vec4 may be refused.
fn without_padding(gpu: &Gpu, case: &Case) -> Vec<String> {
    match case.run_unpadded(gpu) {
        Ok(words) => case.compare(&words).into_iter().filter(|m| !m.passed()).map(|m| format!("{m:?}")).collect(),
        Err(error) if error.kind() == ErrorKind::Shape && error.to_string().ends_with("needs 16") => Vec::new(),
        Err(error) => vec![error.to_string()],
    }
}

/// The first `first` cases of a kernel and the last two, which have f16 in buffers if the kernel supports it.
fn some(mut cases: Vec<Case>, first: usize) -> Vec<Case> {
    let last = cases.split_off(first.min(cases.len()));
    cases.extend(last.into_iter().rev().take(2));
    cases
}

#[test]
fn every_kernel_agrees_with_its_reference() {
    let ran = all_cases();
    let of = |ran: &Ran| -> Vec<String> {
        ran.failures.iter().map(|failure| format!("{} {}: {failure}", ran.kernel, ran.name)).collect()
    };
    let failures: Vec<String> = ran.iter().flat_map(of).collect();
    assert!(ran.len() >= ALL.len(), "only {} cases for {} kernels", ran.len(), ALL.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_kernel_gives_the_same_results_without_padding() {
    let unpadded: Vec<(&Ran, &Vec<String>)> =
        all_cases().iter().filter_map(|ran| Some((ran, ran.unpadded.as_ref()?))).collect();
    assert!(unpadded.len() >= 40, "only {} kernels", unpadded.len());
    for (ran, failures) in unpadded {
        assert!(failures.is_empty(), "{} {}: {}", ran.kernel, ran.name, failures.join("\n"));
    }
}

/// Every comparison rejects one wrong element and one NaN.
#[test]
fn every_comparison_rejects_a_wrong_answer() {
    for_every_kernel(|gpu, entry| {
        for case in some((entry.cases)(gpu), 2) {
            let words = case.run(gpu).unwrap();
            for (at, (name, expected)) in case.outputs.iter().enumerate() {
                let middle = words[at].len() / 2;
                let mut wrong = Case {
                    outputs: case.outputs.clone(),
                    name: String::new(),
                    inputs: Vec::new(),
                    record: Box::new(|_, _| Ok(())),
                };
                wrong.outputs[at].1 = expected.perturbed(middle);
                assert!(!wrong.compare(&words)[at].passed(), "{} {name} accepts a wrong element", entry.kernel.name);
                let mut poisoned = words.clone();
                poisoned[at][middle] = f32::NAN.to_bits();
                assert!(!case.compare(&poisoned)[at].passed(), "{} {name} accepts NaN", entry.kernel.name);
            }
        }
    });
}

#[test]
fn results_are_bit_identical_from_run_to_run_and_with_and_without_textures() {
    for_every_kernel(|gpu, entry| {
        // Panels require textures. Other variants of their reduction order are compared with them elsewhere.
        let storage = gpu.with_texels(gpu.reads_texels() && entry.kernel.name.ends_with("_panel"));
        for case in some((entry.cases)(gpu), 3) {
            let (first, second) = (case.run(gpu).unwrap(), case.run(&storage).unwrap());
            assert!(first == second, "{} {}: other bits", entry.kernel.name, case.name);
        }
    });
}

/// Variant of a case, with the name of the kernel that it belongs to.
fn variant_of(kernel: &str, case: &Case) -> Option<(&'static str, &'static Variant)> {
    let name = case.variant()?;
    let variants = VARIANTS
        .iter()
        .find(|variants| variants.find(name).is_some_and(|variant| variants.launched(variant) == kernel))?;
    Some((variants.kernel, variants.find(name)?))
}

#[test]
fn every_form_that_can_run_has_cases_and_every_case_of_a_form_is_known() {
    let gpu = &devices()[0];
    let mut seen = Vec::new();
    for entry in ALL {
        for case in (entry.cases)(gpu) {
            let variant = variant_of(entry.kernel.name, &case);
            assert_eq!(variant.is_some(), case.name.ends_with(']'), "{} {}", entry.kernel.name, case.name);
            seen.extend(variant.map(|(kernel, variant)| (kernel, variant.name)));
        }
    }
    for variants in VARIANTS {
        for variant in variants.all {
            let runs = variants.unsupported_reason(gpu, variant).is_none();
            assert_eq!(seen.contains(&(variants.kernel, variant.name)), runs, "{} {}", variants.kernel, variant.name);
        }
    }
}

/// Variants of one reduction order may replace each other, so they must be bit-identical.
#[test]
fn forms_of_one_order_give_the_same_bits() {
    // By kernel, reduction order and name of the case without its variant: the first variant that ran, and its hash.
    let mut first = std::collections::BTreeMap::new();
    let mut compared = 0;
    for Ran { kernel, variant, name, digest, .. } in all_cases() {
        let Some((choice, reduction_order, variant, shape)) = variant else { continue };
        let before = first.entry((*choice, *reduction_order, shape.as_str())).or_insert((*variant, *digest));
        if before.0 != *variant {
            assert!(before.1 == *digest, "{kernel} {name}: {} gives other bits", before.0);
            compared += 1;
        }
    }
    assert!(compared > 50 || devices()[0].subgroup_size().is_none(), "only {compared} pairs");
}
