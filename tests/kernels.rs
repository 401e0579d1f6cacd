//! Every kernel on this machine's adapter against its f64 reference.

use std::sync::OnceLock;

use ketformer::gpu::Gpu;
use ketformer::kernels::choice::{FORMS, Form};
use ketformer::kernels::{ALL, Case};

/// One device for all tests here, so that each kernel is compiled once.
fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")).clone()
}

/// The first cases of a kernel and the last, which are those with f16 in buffers where it has such.
fn some(mut cases: Vec<Case>, first: usize) -> Vec<Case> {
    let last = cases.split_off(first.min(cases.len()));
    cases.extend(last.into_iter().rev().take(2));
    cases
}

#[test]
fn every_kernel_agrees_with_its_reference() {
    let gpu = gpu();
    let mut failures = Vec::new();
    let mut cases_run = 0;
    for entry in ALL {
        for case in (entry.cases)(&gpu) {
            let name = format!("{} {}", entry.kernel.name, case.name);
            cases_run += 1;
            match case.run(&gpu) {
                Ok(words) => {
                    let wrong = case.compare(&words).into_iter().filter(|m| !m.passed());
                    failures.extend(wrong.map(|m| format!("{name}: {m:?}")));
                }
                Err(error) => failures.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(cases_run >= ALL.len(), "only {cases_run} cases for {} kernels", ALL.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A comparison that lets a wrong answer pass is worse than none.
#[test]
fn every_comparison_rejects_a_wrong_answer() {
    let gpu = gpu();
    for entry in ALL {
        for case in some((entry.cases)(&gpu), 2) {
            let words = case.run(&gpu).unwrap();
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
    }
}

#[test]
fn results_are_bit_identical_from_run_to_run() {
    let gpu = gpu();
    for entry in ALL {
        for case in some((entry.cases)(&gpu), 3) {
            let (first, second) = (case.run(&gpu).unwrap(), case.run(&gpu).unwrap());
            assert_eq!(first, second, "{} {}", entry.kernel.name, case.name);
        }
    }
}

/// The form of a case, with the name of the choice that it belongs to.
fn form_of(kernel: &str, case: &Case) -> Option<(&'static str, &'static Form)> {
    let name = case.form()?;
    let forms = FORMS.iter().find(|forms| forms.find(name).is_some_and(|form| forms.launched(form) == kernel))?;
    Some((forms.kernel, forms.find(name)?))
}

#[test]
fn every_form_that_can_run_has_cases_and_every_case_of_a_form_is_known() {
    let gpu = gpu();
    let mut seen = Vec::new();
    for entry in ALL {
        for case in (entry.cases)(&gpu) {
            let form = form_of(entry.kernel.name, &case);
            assert_eq!(form.is_some(), case.name.ends_with(']'), "{} {}", entry.kernel.name, case.name);
            seen.extend(form.map(|(kernel, form)| (kernel, form.name)));
        }
    }
    for forms in FORMS {
        for form in forms.all {
            let runs = forms.obstacle(&gpu, form).is_none();
            assert_eq!(seen.contains(&(forms.kernel, form.name)), runs, "{} {}", forms.kernel, form.name);
        }
    }
}

/// Forms of one order may replace each other, so they must agree to the last bit.
#[test]
fn forms_of_one_order_give_the_same_bits() {
    let gpu = gpu();
    // By kernel, order and what the case is but for its form: the form that ran first, and its words.
    let mut first = std::collections::BTreeMap::new();
    let mut compared = 0;
    for entry in ALL {
        for case in (entry.cases)(&gpu) {
            let Some((kernel, form)) = form_of(entry.kernel.name, &case) else { continue };
            let what = case.name.split(" [").next().unwrap_or_default().to_string();
            let words = case.run(&gpu).unwrap();
            let before = first.entry((kernel, form.order, what)).or_insert((form.name, words.clone()));
            if before.0 != form.name {
                assert!(before.1 == words, "{kernel} {}: {} gives other bits", case.name, before.0);
                compared += 1;
            }
        }
    }
    assert!(compared > 50 || gpu.subgroup_size().is_none(), "only {compared} pairs");
}
