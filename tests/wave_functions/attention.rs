//! Attention weights: properties of every row, assignment to layers and heads, and means over samples.

use std::collections::BTreeSet;

use ketformer::model::{Attention, AttentionKind, Model, Ptf, Weights};
use ketformer::physics::{Lattice, Patch};
use ketformer::vmc::{AttentionMaps, Likelihood, SampleConfig, State};

use super::cases::{Case, attentions, cases, gpu};

fn maps(case: &Case, weights: &Weights, configurations: &[Vec<u8>]) -> Option<AttentionMaps> {
    case.state(weights).attention_maps(configurations).unwrap()
}

fn configurations(case: &Case, weights: &Weights, samples: usize) -> Vec<Vec<u8>> {
    let config = SampleConfig { samples, ..SampleConfig::default() };
    case.state(weights).sample(config).unwrap().configurations
}

/// Weights in which the key rows of one head of one layer are zero, so that all its keys are equal.
fn without_keys(model: &dyn Model, mut weights: Weights, [layer, heads, head]: [usize; 3]) -> Weights {
    let name = match model.name() {
        "vit" => format!("layers.{layer}.attn.qkv."),
        _ => format!("transformer.transformer.layers.{layer}.self_attn.in_proj_"),
    };
    let tensors = weights.tensors.iter_mut().filter(|(tensor, _)| tensor.starts_with(&name));
    let mut found = 0;
    for (_, tensor) in tensors {
        let third = tensor.values.len() / 3;
        tensor.values[third..][head * third / heads..(head + 1) * third / heads].fill(0.0);
        found += 1;
    }
    assert_eq!(found, 2, "a weight and a bias");
    weights
}

#[test]
fn rows_add_up_to_one_and_a_head_without_keys_looks_everywhere() {
    let mut seen = Vec::new();
    for case in cases() {
        let weights = case.weights(1);
        let drawn = configurations(&case, &weights, 20);
        let Some(found) = maps(&case, &weights, &drawn) else {
            assert!(["rnn", "rbm"].contains(&case.model.name()), "{}", case.name);
            seen.push(None);
            continue;
        };
        seen.push(Some(found.kind));
        let t = found.patches.len();
        let mut sites = found.patches.concat();
        sites.sort_unstable();
        assert!(sites.into_iter().eq(0..case.lattice.sites()), "{}: every site is in one patch", case.name);
        let causal = found.kind == AttentionKind::Causal;
        let rows = |head: &[f64], check: &dyn Fn(usize, &[f64])| {
            assert_eq!(head.len(), t * t, "{}", case.name);
            head.chunks(t).enumerate().for_each(|(i, row)| check(i, row));
        };
        if found.kind == AttentionKind::Relative {
            assert_eq!(found.samples, 0);
            for (layer, heads) in found.layers.iter().enumerate() {
                let own = &weights.tensors[&format!("layers.{layer}.attn.relative")];
                for (head, own) in heads.iter().zip(own.values.chunks(t)) {
                    // Patch 0 is at (0, 0): its row is the parameter, and the other rows are translations of it.
                    let own: Vec<f64> = own.iter().map(|weight| f64::from(*weight)).collect();
                    assert_eq!(head[..t], own, "{}", case.name);
                    let sorted = |row: &[f64]| {
                        let mut row = row.to_vec();
                        row.sort_by(f64::total_cmp);
                        row
                    };
                    rows(head, &|_, row| assert_eq!(sorted(row), sorted(&own)));
                }
            }
            continue;
        }
        assert_eq!(found.samples, 20);
        for head in found.layers.iter().flatten() {
            rows(head, &|i, row| {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{}, row {i}: {row:?}", case.name);
                assert!(row.iter().all(|weight| *weight >= 0.0), "{}, row {i}: {row:?}", case.name);
                assert!(!causal || row[i + 1..].iter().all(|weight| *weight == 0.0), "{}: {row:?}", case.name);
            });
        }
        let (layers, heads) = (found.layers.len(), found.layers[0].len());
        let blind = [layers - 1, heads, heads - 1];
        let changed = maps(&case, &without_keys(&*case.model, weights, blind), &drawn).unwrap();
        for (layer, heads_of) in changed.layers.iter().enumerate() {
            for (head, weights) in heads_of.iter().enumerate() {
                let mut apart = 0.0f64;
                rows(weights, &|_, _| ());
                for (i, row) in weights.chunks(t).enumerate() {
                    let keys = if causal { i + 1 } else { t };
                    apart = row[..keys].iter().fold(apart, |apart, w| apart.max((w - 1.0 / keys as f64).abs()));
                }
                let is_blind = [layer, heads, head] == blind;
                assert!(if is_blind { apart < 1e-6 } else { apart > 1e-3 || t == 1 }, "{}: {apart}", case.name);
                if layer + 1 < layers {
                    assert_eq!(weights, &found.layers[layer][head], "{}: earlier layers are unaffected", case.name);
                }
            }
        }
    }
    for kind in [None, Some(AttentionKind::Causal), Some(AttentionKind::Full), Some(AttentionKind::Relative)] {
        assert!(seen.contains(&kind), "{kind:?}");
    }
}

/// PTF whose kernels of attention have several variants.
fn with_attention(attention: Attention) -> Case {
    let model = Ptf { attention, patch: Patch::Line(1), width: 16, heads: 2, feed_forward: 16, ..Ptf::default() };
    Case { name: "ptf with an option of attention", lattice: Lattice::chain(8), model: Box::new(model), amplitude: 0.5 }
}

/// An option that no pass uses would satisfy all laws.
#[test]
fn options_of_attention_are_different_functions() {
    let log_p: Vec<Vec<f64>> = attentions()
        .into_iter()
        .map(|attention| {
            let case = with_attention(attention);
            case.state(&case.weights(1)).full_sum().unwrap().log_p
        })
        .collect();
    for (at, one) in log_p.iter().enumerate() {
        for (other, two) in log_p.iter().enumerate().skip(at + 1) {
            let apart = one.iter().zip(two).fold(0.0f64, |apart, (a, b)| apart.max((a - b).abs()));
            assert!(apart > 1e-2, "{:?} and {:?}: {apart}", attentions()[at], attentions()[other]);
        }
    }
}

/// Kernels of attention that serve two options have classes that differ, so that no option is tuned by the times of
/// the other.
#[test]
fn tuning_classes_contain_the_option_of_attention() {
    let classes = |attention| {
        let case = with_attention(attention);
        let (weights, logged) = (case.weights(1), gpu().with_selection_log());
        let state = State::new(&logged, &case.lattice, &*case.model, &weights);
        let given = case.some_configurations(8);
        state.local_energies(case.hamiltonian(), &given).unwrap();
        Likelihood::new(&state, &given).unwrap().gradient(&[1.0; 8]).unwrap();
        let selections = logged.selections().into_iter().filter(|selection| selection.kernel.contains("attention"));
        selections.map(|selection| (selection.kernel, selection.class)).collect::<BTreeSet<_>>()
    };
    let all: Vec<_> = attentions().into_iter().map(classes).collect();
    // Forward passes of one query and of all, suffixes, and the backward pass.
    assert!(all[0].len() >= 4, "{:?}", all[0]);
    for (at, one) in all.iter().enumerate() {
        for (other, two) in all.iter().enumerate().skip(at + 1) {
            let shared: Vec<_> = one.intersection(two).collect();
            assert!(shared.is_empty(), "{:?} and {:?} share {shared:?}", attentions()[at], attentions()[other]);
        }
    }
}

#[test]
fn many_samples_are_the_mean_of_their_parts() {
    let case = &cases()[0];
    let weights = case.weights(1);
    // More samples than one pass takes.
    let drawn = configurations(case, &weights, 300);
    let [all, first, last] = [&drawn[..], &drawn[..100], &drawn[100..]].map(|part| maps(case, &weights, part).unwrap());
    let of = |maps: &AttentionMaps| maps.layers.concat().concat();
    let mean = of(&first).into_iter().zip(of(&last)).map(|(a, b)| (a + 2.0 * b) / 3.0);
    let apart = of(&all).iter().zip(mean).fold(0.0f64, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(apart < 1e-6, "{apart}");
    assert_eq!(all.samples, 300);
}

#[test]
fn no_configurations_and_foreign_ones_are_refused() {
    let case = &cases()[0];
    let refused = |configurations: &[Vec<u8>]| {
        case.state(&case.weights(1)).attention_maps(configurations).unwrap_err().to_string()
    };
    assert!(refused(&[]).contains("give one or more"));
    assert!(refused(&[vec![0; 3]]).contains("give 16 occupations"));
}
