//! Every kernel on this machine's adapter against its f64 reference.

use std::sync::OnceLock;

use ketformer::gpu::{Gpu, Plan};
use ketformer::kernels::linear::{
    Activation, Direction, Extra, GradientShape, LinearGradient, LinearProduct, LinearShape, Variant,
};
use ketformer::kernels::{ALL, Case, RandomInputs};

/// One device for all tests here, so that each kernel is compiled once.
fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")).clone()
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
        for case in (entry.cases)(&gpu).into_iter().take(2) {
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
        for case in (entry.cases)(&gpu).into_iter().take(3) {
            let (first, second) = (case.run(&gpu).unwrap(), case.run(&gpu).unwrap());
            assert_eq!(first, second, "{} {}", entry.kernel.name, case.name);
        }
    }
}

/// Which kernel computes a product may be chosen by speed alone: every sum runs in the same order in each.
#[test]
fn every_kernel_of_a_product_gives_the_same_bits() {
    let gpu = gpu();
    for (rows, inner, columns) in [(33, 36, 20), (131, 64, 132), (2049, 20, 68), (40, 2048, 32)] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut random = RandomInputs::new(u64::from(rows));
            let mut input = |label: &str, count: u32| gpu.upload(label, &random.floats(count as usize)).unwrap();
            let (x, weight) = (input("x", rows * inner), input("weight", inner * columns));
            let (bias, extra) = (input("bias", columns), input("extra", rows * columns));
            let shape = LinearShape { direction, ..LinearShape::forward(rows, inner, columns) };
            let made = [Variant::choose(&gpu, &[4]), Variant::Private, Variant::Shared].map(|variant| {
                let y = gpu.buffer("y", u64::from(rows * columns)).unwrap();
                let product = LinearProduct {
                    x: x.view(),
                    weight: weight.view(),
                    bias: Some(bias.view()),
                    extra: Extra::Add(extra.view()),
                    y: y.view(),
                };
                let mut plan = Plan::new(&gpu);
                product.record_variant(&mut plan, &shape.clone().activated(Activation::Relu), variant).unwrap();
                plan.run().unwrap();
                y.read::<u32>(&gpu, (rows * columns) as usize).unwrap()
            });
            assert!(made.iter().all(|bits| *bits == made[0]), "({rows}, {inner}, {columns}) {direction:?}");
        }
    }
}

#[test]
fn every_kernel_of_a_weight_gradient_gives_the_same_bits() {
    let gpu = gpu();
    for (rows, inputs, outputs) in [(100, 36, 20), (1025, 32, 132), (1030, 68, 32), (700, 132, 100)] {
        let mut random = RandomInputs::new(u64::from(rows));
        let mut input = |label: &str, count: u32| gpu.upload(label, &random.floats(count as usize)).unwrap();
        let (x, d_y) = (input("x", rows * inputs), input("d_y", rows * outputs));
        let shape = GradientShape { rows: rows.into(), inputs, outputs, keep: false };
        let made = [Variant::choose(&gpu, &[4]), Variant::Private, Variant::Shared].map(|variant| {
            let buffer = |label: &str, count: u64| gpu.buffer(label, count).unwrap();
            let part = buffer("part", shape.part_elements());
            let (weights, biases) = (u64::from(inputs * outputs), u64::from(outputs));
            let (d_weight, d_bias) = (buffer("d_weight", weights), buffer("d_bias", biases));
            let gradient = LinearGradient {
                x: x.view(),
                d_y: d_y.view(),
                part: part.view(),
                d_weight: d_weight.view(),
                d_bias: d_bias.view(),
            };
            let mut plan = Plan::new(&gpu);
            gradient.record_variant(&mut plan, &shape, variant).unwrap();
            plan.run().unwrap();
            let words = |buffer: ketformer::gpu::Buffer, count: u64| buffer.read::<u32>(&gpu, count as usize).unwrap();
            [words(d_weight, weights), words(d_bias, biases)]
        });
        assert!(made.iter().all(|bits| *bits == made[0]), "({rows}, {inputs}, {outputs})");
    }
}
