//! Outputs and gradients of the public PyTorch code (APRIQuOt/VMC_with_LPTFs, arXiv:2306.03921) for fixed weights.
//!
//! Contents of each file in tests/data that [`references`] lists: weights `param.*`, 32 configurations, their
//! log-probabilities, those of all single flips, local energies for V = 7, Ω = δ = 1, the gradient of
//! mean(log P (E − Ē)), and log-probabilities after each of five Adam steps with E held fixed. Entries `.f64` were
//! computed in double precision.

use std::collections::BTreeMap;

use ketformer::gpu::Gpu;
use ketformer::model::{Lptf, Model, PositionalEncoding, Ptf, Rnn, Subsampler, Tensor, Vit, Weights};
use ketformer::physics::{Hamiltonian, Heisenberg, Lattice, Observables, Patch, Patching, Rydberg};
use ketformer::vmc::{GramProbe, Likelihood, State};
use safetensors::SafeTensors;

/// Wave function on 4 × 4 sites with the results of the public code.
struct Vectors {
    name: &'static str,
    model: Box<dyn Model>,
    bytes: Vec<u8>,
}

/// All wave functions with results of the public code.
fn references() -> Vec<Vectors> {
    let of = |name, model: Box<dyn Model>| {
        let path = format!("{}/tests/data/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Vectors { name, model, bytes: std::fs::read(path).unwrap() }
    };
    let patch = Patch::Block([2, 2]);
    let ptf = Ptf { patch, width: 32, heads: 4, ..Ptf::default() };
    let pairs = Subsampler::Rnn(Rnn { patch: Patch::Line(2), width: 32, ..Rnn::default() });
    let lptf = Lptf { transformer: ptf.clone(), subsampler: pairs };
    vec![
        of("ptf_L16_p2x2_Nh32_h4", Box::new(ptf)),
        of("lptf_L16_p2x2_Nh32_h4_gru_L4_p2", Box::new(lptf)),
        of("prnn_gru_L16_p2x2_Nh32", Box::new(Rnn { patch, width: 32, ..Rnn::default() })),
    ]
}

impl Vectors {
    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        bytemuck::pod_collect_to_vec(self.tensors().tensor(name).unwrap().data())
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(self.tensors().tensor(name).unwrap().data())
    }

    fn configurations(&self) -> Vec<Vec<u8>> {
        self.tensors().tensor("configs").unwrap().data().chunks(16).map(<[u8]>::to_vec).collect()
    }

    /// Tensors whose names start with `prefix`, which is removed.
    fn named(&self, prefix: &str) -> Weights {
        let tensors = self.tensors();
        let names = tensors.names().into_iter().filter_map(|name| name.strip_prefix(prefix).map(str::to_string));
        let tensor = |name: String| {
            let full = format!("{prefix}{name}");
            let shape = tensors.tensor(&full).unwrap().shape().to_vec();
            (name, Tensor { shape, values: self.f32(&full) })
        };
        Weights { tensors: names.map(tensor).collect::<BTreeMap<_, _>>() }
    }

    fn likelihood(&self, gpu: &Gpu) -> Likelihood {
        Likelihood::new(&State::new(gpu, &LATTICE, &*self.model, &self.named("param.")), &self.configurations())
            .unwrap()
    }

    /// Weights (E_b − Ē)/B of the reference code's loss.
    fn loss_weights(&self) -> Vec<f32> {
        let energies = self.f64("eloc.f64");
        let mean = energies.iter().sum::<f64>() / energies.len() as f64;
        energies.iter().map(|e| ((e - mean) / energies.len() as f64) as f32).collect()
    }
}

const LATTICE: Lattice = Lattice::square(4, 4);

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

/// Largest relative error. Magnitudes below `floor` count as `floor`.
fn relative_error(values: &[f64], expected: &[f64], floor: f64) -> f64 {
    assert_eq!(values.len(), expected.len());
    let error = |(v, e): (&f64, &f64)| {
        let error = (v - e).abs() / e.abs().max(floor);
        if error.is_nan() { f64::INFINITY } else { error }
    };
    values.iter().zip(expected).map(error).fold(0.0, f64::max)
}

#[test]
fn patches_and_positions_are_those_of_the_reference() {
    for vectors in references() {
        let patching = vectors.model.patching(&LATTICE).unwrap();
        let sites: Vec<i32> = bytemuck::pod_collect_to_vec(vectors.tensors().tensor("patch_to_site").unwrap().data());
        assert_eq!(patching.site_of(), sites.iter().map(|s| *s as usize).collect::<Vec<_>>(), "{}", vectors.name);
        if vectors.tensors().tensor("pe").is_ok() {
            // The transformer's positions are those of the large patches, if there are any.
            let patching = Patching::new(LATTICE, Patch::Block([2, 2])).unwrap();
            let table = PositionalEncoding::LptfCompatible.table(&patching, 32).unwrap();
            let table: Vec<f64> = table.iter().map(|v| f64::from(*v)).collect();
            let expected: Vec<f64> = vectors.f32("pe").iter().map(|v| f64::from(*v)).collect();
            assert!(relative_error(&table, &expected, 1.0) < 1e-6, "{}", vectors.name);
        }
    }
}

#[test]
fn log_probabilities_flips_and_local_energies() {
    let (gpu, rydberg) = (gpu(), Rydberg { v: 7.0, delta: 1.0, omega: 1.0 });
    for vectors in references() {
        let (model, weights, given) = (&*vectors.model, vectors.named("param."), vectors.configurations());
        let found = State::new(&gpu, &LATTICE, model, &weights).local_energies(&rydberg, &given).unwrap();
        let log_p = relative_error(&found.log_p, &vectors.f64("logp.f64"), 0.0);
        // The moves of `Rydberg` in patch order are the columns of the reference: flips of element j of patch k.
        let flips = relative_error(&found.moved_log_p.concat(), &vectors.f64("off_diag_labels_patched.f64"), 0.0);
        let energies = relative_error(&found.energy, &vectors.f64("eloc.f64"), 0.0);
        println!("{}: log P {log_p:.1e}, flipped log P {flips:.1e}, local energies {energies:.1e}", vectors.name);
        let within = log_p < 2e-5 && flips < 2e-5 && energies < 2e-5;
        assert!(within, "{}: {log_p:e} {flips:e} {energies:e}", vectors.name);
    }
}

#[test]
fn gradients_of_the_energy() {
    let gpu = gpu();
    for vectors in references() {
        let gradient = vectors.likelihood(&gpu).gradient(&vectors.loss_weights()).unwrap();
        let expected = vectors.named("grad.");
        assert_eq!(gradient.tensors.len(), expected.tensors.len(), "{}", vectors.name);
        for (name, Tensor { values, .. }) in &expected.tensors {
            let mut pairs: Vec<(f32, f32)> =
                gradient.tensors[name].values.iter().copied().zip(values.iter().copied()).collect();
            if name.ends_with("in_proj_bias") {
                // The softmax is invariant under a shift of the keys: the exact gradient of their bias is zero.
                let (kept, keys) = ([&pairs[..32], &pairs[64..]].concat(), pairs[32..64].to_vec());
                assert!(keys.iter().all(|(found, _)| found.abs() < 1e-4), "{name}: the keys' bias has a gradient");
                pairs = kept;
            }
            let norm = pairs.iter().map(|(_, e)| f64::from(*e).powi(2)).sum::<f64>().sqrt();
            let error = pairs.iter().map(|(f, e)| (f64::from(*f) - f64::from(*e)).powi(2)).sum::<f64>().sqrt();
            println!("{} {name}: {:.1e}", vectors.name, error / norm);
            assert!(error < 1e-4 * norm, "{} {name}: error {error:e} of norm {norm:e}", vectors.name);
        }
    }
}

#[test]
fn five_adam_steps() {
    let gpu = gpu();
    for vectors in references() {
        let (batch, weights) = (vectors.likelihood(&gpu), vectors.loss_weights());
        for (step, expected) in vectors.f64("logp_after_adam.f64").chunks(32).enumerate() {
            batch.descend(&weights, 5e-4).unwrap();
            let error = relative_error(&batch.log_p().unwrap(), expected, 0.0);
            println!("{} after step {}: {error:.1e}", vectors.name, step + 1);
            assert!(error < 1e-4, "{} after step {}: {error:e}", vectors.name, step + 1);
        }
    }
}

#[test]
fn weights_survive_a_file_under_their_state_dict_names() {
    for vectors in references() {
        let weights = vectors.named("param.");
        let layout = vectors.model.layout(&LATTICE).unwrap();
        assert_eq!(layout.unflatten(&layout.flatten(&weights).unwrap()), weights, "{}", vectors.name);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        weights.save(&path).unwrap();
        assert_eq!(Weights::load(&path).unwrap(), weights, "{}", vectors.name);
    }
}

/// Vision transformer on the J1-J2 model, computed by an independent f64 implementation.
fn vit_vectors() -> Vectors {
    let path = format!("{}/tests/data/vit_j1j2_4x4.safetensors", env!("CARGO_MANIFEST_DIR"));
    let model = Vit { width: 8, heads: 2, layers: 2, ..Vit::default() };
    Vectors { name: "vit_j1j2_4x4", model: Box::new(model), bytes: std::fs::read(path).unwrap() }
}

impl Vectors {
    /// Configurations stored as spins ±1.
    fn of_spins(&self) -> Vec<Vec<u8>> {
        let spins = self.tensors().tensor("spins").unwrap().data().to_vec();
        spins.chunks(16).map(|row| row.iter().map(|spin| u8::from(*spin as i8 > 0)).collect()).collect()
    }
}

/// Largest distance between complex numbers, relative to the largest magnitude in `expected`.
fn complex_error(found: [&[f64]; 2], expected: [&[f64]; 2]) -> f64 {
    let size = expected[0].iter().zip(expected[1]).map(|(re, im)| re.hypot(*im)).fold(0.0, f64::max);
    let distance = |at: usize| (found[0][at] - expected[0][at]).hypot(found[1][at] - expected[1][at]) / size;
    assert_eq!(found[0].len(), expected[0].len());
    (0..found[0].len()).map(distance).fold(0.0, f64::max)
}

#[test]
fn amplitudes_and_local_energies_of_a_vision_transformer() {
    let (gpu, vectors) = (gpu(), vit_vectors());
    let (model, weights, given) = (&*vectors.model, vectors.named("param."), vectors.of_spins());
    let j1j2 = Heisenberg { j2: 0.5, ..Heisenberg::default() };
    let found = State::new(&gpu, &LATTICE.periodic(), model, &weights).local_energies(&j1j2, &given).unwrap();
    let real: Vec<f64> = found.log_p.iter().map(|log_p| 0.5 * log_p).collect();
    let expected = [vectors.f64("log_psi_real"), vectors.f64("log_psi_imag")];
    // Phases are compared modulo 2π.
    let turned = |(found, expected): (&f64, &f64)| {
        found - ((found - expected) / std::f64::consts::TAU).round() * std::f64::consts::TAU
    };
    let imag: Vec<f64> = found.phase.iter().zip(&expected[1]).map(turned).collect();
    let log_psi = complex_error([&real, &imag], [&expected[0], &expected[1]]);
    let expected = [vectors.f64("local_energy_real"), vectors.f64("local_energy_imag")];
    let energies = complex_error([&found.energy, &found.energy_imaginary], [&expected[0], &expected[1]]);
    println!("log psi {log_psi:.1e}, local energies {energies:.1e}");
    assert!(log_psi < 2e-5 && energies < 2e-5, "{log_psi:e} {energies:e}");
}

#[test]
fn gradient_of_the_energy_of_a_vision_transformer() {
    let (gpu, vectors) = (gpu(), vit_vectors());
    let (model, weights) = (&*vectors.model, vectors.named("param."));
    let batch = Likelihood::new(&State::new(&gpu, &LATTICE, model, &weights), &vectors.of_spins()).unwrap();
    // The gradient of E is twice the real part of the covariance of the local energy and the gradient of log psi.
    let shares = |name: &str, factor: f64| -> Vec<f32> {
        let energies = vectors.f64(name);
        let count = energies.len() as f64;
        let mean = energies.iter().sum::<f64>() / count;
        energies.iter().map(|e| (factor * (e - mean) / count) as f32).collect()
    };
    let [by_size, by_phase] = [shares("local_energy_real", 1.0), shares("local_energy_imag", 2.0)];
    let gradient = batch.gradient_of_log_psi(&by_size, &by_phase).unwrap();
    let expected = vectors.named("grad_energy.");
    assert_eq!(gradient.tensors.len(), expected.tensors.len());
    let (mut error, mut norm) = (0.0, 0.0);
    for (name, Tensor { values, .. }) in &expected.tensors {
        for (found, expected) in gradient.tensors[name].values.iter().zip(values) {
            error += (f64::from(*found) - f64::from(*expected)).powi(2);
            norm += f64::from(*expected).powi(2);
        }
    }
    println!("gradient {:.1e}", (error / norm).sqrt());
    assert!(error.sqrt() < 1e-4 * norm.sqrt(), "error {:e} of norm {:e}", error.sqrt(), norm.sqrt());
}

/// ‖found − expected‖ / ‖expected‖
fn distance(found: impl Iterator<Item = f64>, expected: &[f64]) -> f64 {
    let norm = expected.iter().map(|e| e * e).sum::<f64>();
    (found.zip(expected).map(|(f, e)| (f - e).powi(2)).sum::<f64>() / norm).sqrt()
}

/// X Xᵀ of real and imaginary parts, and the step Xᵀ (X Xᵀ + λ)⁻¹ f with λ = 10⁻³. Gradients of single samples are f32,
/// with rounding errors of about 10⁻⁷ of their norm. Solving amplifies these errors in the Gram matrix by at most its
/// condition number, the largest eigenvalue over λ.
#[test]
fn gram_matrix_of_a_vision_transformer() {
    let (gpu, vectors) = (gpu(), vit_vectors());
    let (model, weights, given) = (&*vectors.model, vectors.named("param."), vectors.of_spins());
    let probe = GramProbe::new(&State::new(&gpu, &LATTICE, model, &weights), &given).unwrap();
    let gram = probe.gram().unwrap();
    let of_gram = distance(gram.values().iter().copied(), &vectors.f64("gram"));
    let [real, imaginary] = ["local_energy_real", "local_energy_imag"].map(|name| vectors.f64(name));
    let energies: Vec<[f64; 2]> = real.into_iter().zip(imaginary).map(|(re, im)| [re, im]).collect();
    let (direction, solution) = probe.direction(&energies, 1e-3).unwrap();
    let found = direction.tensors.values().flat_map(|tensor| tensor.values.iter().map(|v| f64::from(*v)));
    let expected: Vec<f64> = direction.tensors.keys().flat_map(|name| vectors.f64(&format!("sr.{name}"))).collect();
    let of_step = distance(found, &expected);
    println!("gram {of_gram:.1e}, step {of_step:.1e}, condition {:.1e}", solution.condition);
    assert!(gram.rows() == 2 * given.len() && of_gram < 1e-4, "{of_gram:e}");
    assert!(of_step < 1e-3 && solution.residual < 1e-10, "{of_step:e} {solution:?}");
}

/// Energies of the weights of the recurrent network on lattices whose sides differ, from tests/data/site_order.py: in the
/// order x·Ly + y, and in the order y·Lx + x of the public code.
#[test]
fn the_order_of_the_public_code_is_a_patch() {
    let gpu = Gpu::new().unwrap();
    let references = references();
    let weights = references[2].named("param.");
    for ([lx, ly], own, public) in [
        ([2, 6], 18.541742, 18.287159),
        ([3, 4], 21.000375, 20.348094),
        ([4, 3], 20.348094, 21.000375),
        ([12, 1], 7.633826, 7.633826),
    ] {
        let lattice = Lattice::square(lx, ly);
        let terms = Rydberg::default().terms(&lattice).unwrap();
        for (patch, expected) in [(Patch::Line(4), own), (Patch::TransposedLine(4), public)] {
            let model = Rnn { patch, width: 32, ..Rnn::default() };
            let log_p = State::new(&gpu, &lattice, &model, &weights).full_sum().unwrap().log_p;
            let psi: Vec<f64> = log_p.iter().map(|log_p| (0.5 * log_p).exp()).collect();
            let found = Observables::of(&terms, &lattice, &psi).unwrap().energy;
            assert!((found - expected).abs() < 1e-4, "{lattice} {patch:?}: {found}, not {expected}");
        }
    }
}
