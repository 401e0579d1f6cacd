//! Every kernel on this machine's adapter against its f64 reference.
//!
//! By default a part of the cases runs, see [`chosen`]; `KETFORMER_ALL_CASES=1` runs all of them, as `ketformer doctor`
//! does.

mod devices;

use std::collections::{BTreeMap, BTreeSet};
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

/// Cases of a kernel.
struct Table {
    kernel: &'static str,
    /// Names of all cases, whether they ran or not, and their variants.
    cases: Vec<(String, Option<Form>)>,
    ran: Vec<Ran>,
}

/// Kernel that has variants, and one of them.
type Form = (&'static str, &'static Variant);

/// Result of a case.
struct Ran {
    name: String,
    form: Option<Form>,
    /// Outputs that differ from the reference.
    failures: Vec<String>,
    /// The same in buffers without padding, for one case of each kernel.
    unpadded: Option<Vec<String>>,
    /// What is wrong with further runs and comparisons of some cases, see [`examine`].
    examined: Option<Vec<String>>,
    /// Hash of the output words.
    digest: u64,
}

impl Ran {
    /// Name of the case without the variant.
    fn shape(&self) -> &str {
        self.name.split(" [").next().unwrap_or_default()
    }
}

/// The tables of all kernels, whose cases ran once.
fn tables() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| for_every_kernel(table))
}

fn table(gpu: &Gpu, entry: &Entry) -> Table {
    let kernel = entry.kernel().name;
    let cases = (entry.cases)(gpu);
    // Panels read textures, which buffers of a caller do not have.
    let odd = cases.iter().position(is_odd).filter(|_| !kernel.ends_with("_panel"));
    let mut chosen = chosen(&cases);
    chosen.extend(odd.filter(|odd| !chosen.contains(odd)));
    chosen.sort_unstable();
    let run = |(turn, at): (usize, &usize)| {
        let case = &cases[*at];
        let (name, form) = (case.name.clone(), variant_of(kernel, case));
        let words = match case.run(gpu) {
            Ok(words) => words,
            Err(error) => {
                return Ran {
                    name,
                    form,
                    failures: vec![error.to_string()],
                    unpadded: None,
                    examined: None,
                    digest: 0,
                };
            }
        };
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        // The last cases have f16 in buffers if the kernel supports it.
        let is_examined = turn < 2 || turn + 2 >= chosen.len();
        Ran {
            name,
            form,
            failures: failures(case, &words),
            unpadded: (odd == Some(*at)).then(|| without_padding(gpu, case)),
            examined: is_examined.then(|| examine(gpu, kernel, case, &words)),
            digest: hasher.finish(),
        }
    };
    let ran = chosen.iter().enumerate().map(run).collect();
    Table { kernel, cases: cases.iter().map(|case| (case.name.clone(), variant_of(kernel, case))).collect(), ran }
}

/// Indices of the cases that run: the first two and the last of each variant and number of inputs, or all. Tables begin
/// with a usual shape and one that no tile divides, and end with the most rows.
fn chosen(cases: &[Case]) -> Vec<usize> {
    if std::env::var("KETFORMER_ALL_CASES").is_ok_and(|text| text == "1") {
        return (0..cases.len()).collect();
    }
    let is_chosen = |at: &usize| {
        let same =
            |other: &&Case| other.variant() == cases[*at].variant() && other.inputs.len() == cases[*at].inputs.len();
        cases[..*at].iter().filter(same).count() < 2 || !cases[at + 1..].iter().any(|case| same(&case))
    };
    (0..cases.len()).filter(is_chosen).collect()
}

/// Outputs of a case that differ from the reference.
fn failures(case: &Case, words: &[Vec<u32>]) -> Vec<String> {
    case.compare(words).into_iter().filter(|m| !m.passed()).map(|m| format!("{m:?}")).collect()
}

/// Whether padding makes an input longer.
fn is_odd(case: &Case) -> bool {
    let floats = |values: &Values| if let Values::F32(values) = values { values.len() } else { 0 };
    case.inputs.iter().any(|(_, values)| !floats(values).is_multiple_of(4))
}

/// Failures of a case in buffers without padding. A buffer shorter than a vec4 may be refused.
fn without_padding(gpu: &Gpu, case: &Case) -> Vec<String> {
    match case.run_unpadded(gpu) {
        Ok(words) => failures(case, &words),
        Err(error) if error.kind() == ErrorKind::Shape && error.to_string().ends_with("needs 16") => Vec::new(),
        Err(error) => vec![error.to_string()],
    }
}

/// Runs a case again, without textures, and compares the words, which are right, after making an element of each output
/// wrong and then NaN. Returns what is wrong: other bits, and wrong elements that the comparison accepts.
fn examine(gpu: &Gpu, kernel: &str, case: &Case, words: &[Vec<u32>]) -> Vec<String> {
    // Panels require textures. Other variants of their reduction order are compared with them elsewhere.
    let storage = gpu.with_texels(gpu.reads_texels() && kernel.ends_with("_panel"));
    let mut wrong = match case.run(&storage) {
        Ok(again) if again == words => Vec::new(),
        Ok(_) => vec!["other bits".to_string()],
        Err(error) => vec![error.to_string()],
    };
    // No element of an empty output can be wrong.
    for (at, (name, expected)) in case.outputs.iter().enumerate().filter(|(at, _)| !words[*at].is_empty()) {
        let middle = words[at].len() / 2;
        let mut altered = Case {
            outputs: case.outputs.clone(),
            name: String::new(),
            inputs: Vec::new(),
            record: Box::new(|_, _| Ok(())),
        };
        altered.outputs[at].1 = expected.perturbed(middle);
        wrong.extend(altered.compare(words)[at].passed().then(|| format!("{name} accepts a wrong element")));
        let mut poisoned = words.to_vec();
        poisoned[at][middle] = f32::NAN.to_bits();
        wrong.extend(case.compare(&poisoned)[at].passed().then(|| format!("{name} accepts NaN")));
    }
    wrong
}

/// Panics with the texts that `of` finds in the results of all cases, and returns the number of results that have any
/// list of texts.
fn none_of(of: impl Fn(&Ran) -> Option<&Vec<String>>) -> usize {
    let all = tables().iter().flat_map(|table| table.ran.iter().map(move |ran| (table.kernel, ran)));
    let found: Vec<_> = all.filter_map(|(kernel, ran)| Some((kernel, &ran.name, of(ran)?))).collect();
    let lines =
        found.iter().flat_map(|(kernel, name, texts)| texts.iter().map(move |t| format!("{kernel} {name}: {t}")));
    let lines: Vec<String> = lines.collect();
    assert!(lines.is_empty(), "{} failures:\n{}", lines.len(), lines.join("\n"));
    found.len()
}

#[test]
fn every_kernel_agrees_with_its_reference() {
    let ran = none_of(|ran| Some(&ran.failures));
    assert!(ran >= ALL.len(), "only {ran} cases for {} kernels", ALL.len());
    for Table { kernel, cases, ran } in tables() {
        assert_eq!(cases.is_empty(), ran.is_empty(), "{kernel}");
    }
}

#[test]
fn every_kernel_gives_the_same_results_without_padding() {
    let unpadded = none_of(|ran| ran.unpadded.as_ref());
    assert!(unpadded >= 40, "only {unpadded} kernels");
}

/// Results have the same bits from run to run, with and without textures, and every comparison rejects one wrong element
/// and one NaN.
#[test]
fn results_are_bit_identical_from_run_to_run_and_wrong_answers_are_rejected() {
    none_of(|ran| ran.examined.as_ref());
    for Table { kernel, ran, .. } in tables() {
        assert!(ran.is_empty() || ran.iter().any(|ran| ran.examined.is_some()), "{kernel}: no case is examined");
    }
}

/// Variant of a case, with the name of the kernel that it belongs to.
fn variant_of(kernel: &str, case: &Case) -> Option<Form> {
    let name = case.variant()?;
    let variants = VARIANTS
        .iter()
        .find(|variants| variants.find(name).is_some_and(|variant| variants.launched(variant) == kernel))?;
    Some((variants.kernel, variants.find(name)?))
}

#[test]
fn every_form_that_can_run_has_cases_and_every_case_of_a_form_is_known() {
    let mut seen = BTreeSet::new();
    for Table { kernel, cases, ran } in tables() {
        for (name, form) in cases {
            assert_eq!(form.is_some(), name.ends_with(']'), "{kernel} {name}");
        }
        seen.extend(ran.iter().filter_map(|ran| ran.form).map(|(kernel, variant)| (kernel, variant.name)));
    }
    for variants in VARIANTS {
        for variant in variants.all {
            let runs = variants.unsupported_reason(&devices()[0], variant).is_none();
            assert_eq!(seen.contains(&(variants.kernel, variant.name)), runs, "{} {}", variants.kernel, variant.name);
        }
    }
}

/// Variants of one reduction order may replace each other, so they must be bit-identical.
#[test]
fn forms_of_one_order_give_the_same_bits() {
    // By kernel, reduction order and name of the case without its variant: the first variant that ran, and its hash.
    let mut first = BTreeMap::new();
    let mut compared = 0;
    for (kernel, ran) in tables().iter().flat_map(|table| table.ran.iter().map(|ran| (table.kernel, ran))) {
        let Some((choice, variant)) = ran.form else { continue };
        let before = first.entry((choice, variant.reduction_order, ran.shape())).or_insert((variant.name, ran.digest));
        if before.0 != variant.name {
            assert!(before.1 == ran.digest, "{kernel} {}: {} gives other bits", ran.name, before.0);
            compared += 1;
        }
    }
    assert!(compared > 50 || devices()[0].subgroup_size().is_none(), "only {compared} pairs");
}
