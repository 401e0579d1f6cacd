//! Results of the program: ground levels, order parameters, signs of fields, and error bars of Markov chains.

mod program;

use std::fs;

use program::{refuses, run, succeeds, without_driver};
use serde_json::Value;
use tempfile::TempDir;

/// JSON that `exact` prints for a Hamiltonian, and its notes.
fn exact(line: &str) -> (Value, String) {
    let folder = TempDir::new().unwrap();
    let ended = program::end(without_driver(folder.path(), &format!("exact --json {line}")));
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    (serde_json::from_str(&ended.stdout).unwrap(), ended.stderr)
}

fn close(found: &Value, expected: f64, tolerance: f64) -> bool {
    (found.as_f64().unwrap() - expected).abs() < tolerance
}

#[test]
fn exact_reports_whole_levels() {
    let folder = TempDir::new().unwrap();
    let text = succeeds(folder.path(), "exact --heisenberg Lx=3 Ly=1").stdout;
    assert!(text.contains("degenerate (×4)") && text.contains("means over the states of the level"), "{text}");
    assert!(!succeeds(folder.path(), "exact --heisenberg Lx=4 Ly=1").stdout.contains("degenerate"));
    for (line, energy, degeneracy) in [
        ("--heisenberg Lx=3 Ly=1", -0.75, 4),
        ("--heisenberg L=9 periodic=true J1=-1", -4.5, 10),
        ("--tfim L=9 h=0", -12.0, 2),
        ("--xxz Lx=6 Ly=1 Delta=-1", -1.25, 7),
        ("--heisenberg Lx=8 Ly=1 J2=0.5", -3.0, 2),
    ] {
        let (found, _) = exact(line);
        assert!(close(&found["energy"], energy, 1e-10), "{line}: {found}");
        assert_eq!(found["degeneracy"], degeneracy, "{line}");
        assert!(close(&found["sigma_x"], 0.0, 1e-9) && close(&found["density"], 0.5, 1e-9), "{line}: {found}");
    }
}

/// A fidelity is with the whole level: the polarized configurations of a ferromagnet without field.
#[test]
fn eval_compares_with_the_whole_level() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, "train L=4 K=64 steps=120 lr=0.02 clip=1 seed=3 --out run --rnn Nh=8 --tfim h=0 --quiet");
    let found: Value = serde_json::from_str(&succeeds(path, "eval run samples=64 --json").stdout).unwrap();
    let exact = &found["exact"];
    assert_eq!(exact["degeneracy"], 2);
    assert!(exact["enumerated"]["fidelity"].as_f64().unwrap() > 0.99, "{exact}");
    let text = succeeds(path, "eval run samples=64").stdout;
    assert!(text.contains("with the ground level, degenerate (×2)"), "{text}");
}

/// Energies in a perfect blockade: E = −(δ + √(δ² + NΩ²))/2 for one excitation at most. Larger lattices have larger
/// couplings in their tails.
#[test]
fn exact_is_accurate_for_couplings_of_any_size() {
    for (line, energy, tolerance) in [
        ("--rydberg L=9 V=1e12", -2.081_138_830, 1e-8),
        ("--rydberg L=9 V=1e10 Omega=-1", -2.081_138_8, 1e-7),
        ("--rydberg L=16 V=1e12", -2.561_552_813, 1e-8),
        ("--rydberg Lx=4 Ly=1 V=1e12 Omega=2 delta=0", -2.0, 1e-8),
    ] {
        let (found, _) = exact(line);
        assert!(close(&found["energy"], energy, tolerance), "{line}: {found}");
        assert!(found["residual"].as_f64().unwrap() < 1e-9, "{line}: {found}");
    }
}

#[test]
fn the_sign_of_a_transverse_field_changes_only_sigma_x() {
    for (line, field, notes) in [
        ("--tfim L=6x1", "h", 1),
        ("--tfim L=2x2 periodic=true J=-1", "h", 2),
        ("--rydberg L=3x3", "Omega", 1),
        ("--xxz L=5x1 J=-1 hz=0.2", "hx", 1),
    ] {
        let [(plus, none), (minus, noted)] = ["0.7", "-0.7"].map(|value| exact(&format!("{line} {field}={value}")));
        let real = |found: &Value, name: &str| found[name].as_f64().unwrap();
        for name in ["energy", "density", "uniform_squared", "neighbor_zz"] {
            assert!((real(&plus, name) - real(&minus, name)).abs() < 1e-8, "{line} {name}");
        }
        assert!(real(&plus, "sigma_x") > 0.1, "{plus}");
        assert!((real(&plus, "sigma_x") + real(&minus, "sigma_x")).abs() < 1e-8, "{line}");
        assert_eq!(noted.lines().count(), notes, "{noted}");
        assert!(noted.contains(&format!("{field} is negative: ")), "{noted}");
        assert_eq!(none.lines().count(), notes - 1, "{none}");
    }
}

/// A positive wave function is trained in a negative field, and its estimates are those of that field.
#[test]
fn a_negative_field_is_trained_and_evaluated() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = "train L=4 K=128 steps=150 lr=0.02 seed=1 --out run --rnn Nh=8 --tfim h=-1.5";
    let ended = succeeds(path, line);
    assert_eq!(ended.stderr.matches("h is negative").count(), 1, "{}", ended.stderr);
    let ended = succeeds(path, "eval run samples=2000 --json");
    assert_eq!(ended.stderr.matches("h is negative").count(), 1, "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let (sigma_x, enumerated) = (&found["sigma_x"], &found["exact"]["enumerated"]);
    let exact = enumerated["sigma_x"].as_f64().unwrap();
    assert!(exact < -0.5 && close(&sigma_x[0], exact, 5.0 * sigma_x[1].as_f64().unwrap()), "{found}");
    assert!(enumerated["relative_error"].as_f64().unwrap() < 0.05, "{enumerated}");
    assert!(!succeeds(path, "eval run samples=100 --quiet").stderr.contains("note"));
}

#[test]
fn conventions_are_said_where_they_apply() {
    for (line, part) in [
        ("--tfim Lx=2 Ly=3 periodic=true", "periodic side of 2 sites"),
        ("--heisenberg Lx=3 Ly=1 J2=0.5", "J2=0.5 has no effect: 3x1 has no next-nearest neighbors"),
        ("--heisenberg Lx=4 Ly=1 J2=0.5", "ring of 4 sites"),
        ("--rydberg Lx=4 Ly=1 periodic=true", "the distance of the shorter path"),
    ] {
        let (_, notes) = exact(line);
        assert!(notes.starts_with("ketformer: note: ") && notes.contains(part), "{line}: {notes}");
        assert_eq!(exact(&format!("--quiet {line}")).1, "", "{line}");
    }
    for line in ["--heisenberg Lx=6 Ly=1 J2=0.5", "--tfim L=9 h=0", "--rydberg L=9"] {
        assert_eq!(exact(line).1, "", "{line}");
    }
}

/// S(0) is the peak of a ferromagnet, S(π, π) that of an antiferromagnet and of Rydberg atoms, whose S(0) is a mean density.
#[test]
fn the_largest_response_is_shown() {
    for (line, order, k, connected) in [
        ("--tfim L=4x4 h=1", "uniform", [0.0, 0.0], false),
        ("--tfim L=4x4 h=1 J=-1", "staggered", [1.0, 1.0], false),
        ("--heisenberg L=4x4 periodic=true", "staggered", [1.0, 1.0], false),
        ("--heisenberg L=4x2 J1=-1", "uniform", [0.0, 0.0], false),
        ("--rydberg L=4x4 delta=3", "staggered", [1.0, 1.0], false),
        ("--rydberg L=3x3 V=-1 delta=-3", "uniform", [0.0, 0.0], true),
    ] {
        let (found, _) = exact(line);
        let peak = &found["structure_factor_peak"];
        assert_eq!((&found["order_parameter"], &peak["connected"]), (&order.into(), &connected.into()), "{line}");
        assert!(close(&peak["k_in_pi"][0], k[0], 1e-12) && close(&peak["k_in_pi"][1], k[1], 1e-12), "{line}: {peak}");
        // S(0) = N ⟨m²⟩ of the uniform magnetization.
        let sites = found["sites"].as_f64().unwrap();
        let zero = sites * found["uniform_squared"].as_f64().unwrap();
        assert!(close(&found["structure_factor"][0], zero, 1e-9), "{line}: {found}");
    }
    let folder = TempDir::new().unwrap();
    let text = succeeds(folder.path(), "exact --tfim L=4x4 h=1").stdout;
    assert!(text.contains("order parameter uniform |m| 0.4") && text.contains("highest at (0 pi, 0 pi): 3."), "{text}");
}

/// In a scan over its transverse field, a ferromagnet loses its magnetization: that is what the plot shows.
#[test]
fn a_scan_of_a_ferromagnet_shows_its_magnetization() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let ended = succeeds(
        path,
        "sweep --samples 1000 --out scan L=9 K=128 steps=40 lr=0.02 clip=1 seed=2 --rnn Nh=8 --tfim h=-0.5:6:3.25",
    );
    assert_eq!(ended.stderr.matches("h is negative").count(), 1, "{}", ended.stderr);
    assert!(ended.stdout.lines().all(|line| line.contains("uniform |m| ")), "{}", ended.stdout);
    let svg = fs::read_to_string(path.join("scan/sweep.svg")).unwrap();
    assert!(svg.contains("uniform magnetization |m|") && !svg.contains("staggered"));
    let text = fs::read_to_string(path.join("scan/sweep.csv")).unwrap();
    let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let column = |name: &str| {
        let at = names.iter().position(|other| *other == name).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect::<Vec<f64>>()
    };
    let sizes = column("uniform_abs");
    assert!(sizes.windows(2).all(|two| two[1] < two[0]), "{sizes:?}");
    assert!(column("structure_factor_peak").windows(2).all(|two| two[1] < two[0]));
    assert_eq!([column("peak_kx")[0], column("peak_ky")[0]], [0.0, 0.0]);
}

/// Fewer than four samples per chain cannot be judged: a warning, no autocorrelation time, and the error of one sample.
#[test]
fn chains_that_cannot_be_judged_have_wide_error_bars() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let ended = succeeds(path, "train L=4 K=32 steps=2 seed=1 --out run --rbm alpha=1 --rydberg");
    assert!(ended.stderr.contains("the mean of 2 steps, fewer than the 4"), "{}", ended.stderr);
    let evaluated = |line: &str| {
        let ended = succeeds(path, &format!("eval run {line} --json"));
        (serde_json::from_str::<Value>(&ended.stdout).unwrap(), ended.stderr)
    };
    for samples in [2, 3, 300] {
        let (found, warnings) = evaluated(&format!("samples={samples}"));
        assert!(warnings.contains("no split R-hat") && warnings.contains("give 4096 samples or more"), "{warnings}");
        let chains = &found["chains"];
        assert!(chains["r_hat"].is_null() && chains["autocorrelation_time"].is_null(), "{chains}");
        assert!(close(&chains["effective_samples"], 1.0, 1e-9) && chains["is_judged"] == false, "{chains}");
        let (error, variance) = (found["energy"][1].as_f64().unwrap(), found["variance"].as_f64().unwrap());
        assert!((error / variance.sqrt() - 1.0).abs() < 1e-6, "{error} {variance}");
    }
    let (found, warnings) = evaluated("samples=4096");
    assert!(!warnings.contains("no split R-hat") && found["chains"]["is_judged"] == true, "{warnings}");
    let text = succeeds(path, "eval run samples=300").stdout;
    assert!(text.contains("autocorrelation time unknown") && text.contains("R-hat unknown"), "{text}");
    // One chain: 4 samples are enough, 3 are not.
    succeeds(path, "train L=4 K=32 steps=8 seed=1 --out one --rbm alpha=1 chains=1 --rydberg");
    let warnings = run(path, "eval one samples=3").stderr;
    assert!(warnings.contains("give 4 samples or more"), "{warnings}");
    assert!(!run(path, "eval one samples=4").stderr.contains("no split R-hat"));
    // The report says so, too.
    let ended = succeeds(path, "report run samples=300 runs=0");
    assert!(ended.stderr.contains("no split R-hat"), "{}", ended.stderr);
    let html = fs::read_to_string(path.join("run/report.html")).unwrap();
    assert!(html.contains("first give samples=4096") && html.contains("Order parameter of the Hamiltonian"));
}

#[test]
fn the_order_of_sites_is_selected_and_noted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = "--rydberg Lx=2 Ly=6";
    for (words, parts) in [
        ("--rnn patch=2x2 site_order=reference", ["site_order=reference is for consecutive sites", "patch=4"]),
        ("--lptf patch=4 Nh=8 --rnn site_order=reference", ["give it to --lptf", "sub-sampler"]),
        ("--rnn site_order=references", ["site_order=reference", "references"]),
        ("--vit site_order=reference", ["site_order", "key of --"]),
    ] {
        let line = format!("train {words} {line}");
        refuses(path, &line, without_driver(path, &line), 2, &parts);
    }
    let run_line = "L=2x6 K=16 steps=1 seed=1 --rnn patch=4 Nh=8";
    succeeds(path, &format!("train {run_line} --out own {line} --quiet"));
    let weights = "--weights own/model.safetensors samples=200";
    let energy = |words: &str, lattice: &str| {
        let line = format!("eval {weights} --json --rnn patch=4 Nh=8 {words} --rydberg {lattice}");
        let ended = succeeds(path, &line);
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        (found["exact"]["enumerated"]["energy"].as_f64().unwrap(), ended.stderr)
    };
    let (own, noted) = energy("", "Lx=2 Ly=6");
    assert!(noted.contains("give --rnn site_order=reference"), "{noted}");
    let (public, silent) = energy("site_order=reference", "Lx=2 Ly=6");
    assert_eq!(silent, "");
    // The order y*Lx + x is that of the transposed lattice.
    let (transposed, _) = energy("", "Lx=6 Ly=2");
    assert!((public - transposed).abs() < 1e-6 && (public - own).abs() > 1e-3, "{own} {public} {transposed}");
    assert_eq!(energy("", "Lx=12 Ly=1").1, "");
    // The run folder keeps the order.
    succeeds(path, &format!("train {run_line} site_order=reference --out public {line} --quiet"));
    let settings = fs::read_to_string(path.join("public/settings.json")).unwrap();
    assert!(settings.contains("\"site_order\": \"reference\""), "{settings}");
}
