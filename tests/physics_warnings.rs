//! Warnings of the program about runs whose numbers do not mean what they seem to: symmetries that exclude the ground
//! state, samples of a single configuration, and energies that rare samples dominate.

mod program;

use std::fs;

use program::{Ended, metrics, program, refuses, run, succeeds};
use serde_json::Value;
use tempfile::TempDir;

/// A vision transformer of a few parameters; the patch follows.
const VIT: &str = "d=4 heads=1 layers=1 burn_in=1 sweeps=1 --";

fn vit(settings: &str, hamiltonian: &str) -> String {
    format!("K=16 --vit {settings} {VIT}{hamiltonian}")
}

/// Lines of warnings that contain `word`.
fn warned(ended: &Ended, word: &str) -> usize {
    ended.stderr.lines().filter(|line| line.starts_with("ketformer: warning: ") && line.contains(word)).count()
}

#[test]
fn symmetries_of_the_wave_function_alone_are_a_warning_with_remedies() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for (number, (line, word, remedies)) in [
        (
            vit("patch=1x1 proposal=flip", "rydberg L=9"),
            "are no symmetry",
            &["-3.6897", "-4.7959", "--vit attention=softmax", "--rydberg periodic=true"][..],
        ),
        (
            vit("patch=1 proposal=flip", "tfim Lx=5 Ly=1"),
            "is no symmetry",
            &["--vit attention=softmax", "--tfim periodic=true"],
        ),
        (
            vit("patch=1x2 proposal=flip", "tfim Lx=3 Ly=6 periodic=x"),
            "translation along y by 2 sites",
            &["open along one side", "--vit attention=softmax", "--tfim periodic=true"],
        ),
        (
            vit("patch=1", "heisenberg Lx=6 Ly=1"),
            "the ground state is odd",
            &["-2.1180", "-2.8028", "--vit patch=2x1", "--vit attention=softmax", "--heisenberg marshall=true"],
        ),
        (
            vit("patch=1", "heisenberg Lx=18 Ly=1"),
            "the ground state is odd",
            &["--vit patch=2x1", "--heisenberg marshall=true"],
        ),
        (
            "K=16 --rnn patch=1 Nh=8 sector=zero --xxz Lx=4 Ly=1 J=-1 Delta=3".into(),
            "half of the sites",
            &["--rnn sector=all"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let ended = succeeds(path, &format!("train steps=1 {line} --out run{number}"));
        assert_eq!(warned(&ended, word), 1, "{line}: {}", ended.stderr);
        assert!(remedies.iter().all(|remedy| ended.stderr.contains(remedy)), "{line}: {}", ended.stderr);
        let evaluated = succeeds(path, &format!("eval run{number} samples=64 --json"));
        assert_eq!(warned(&evaluated, word), 1, "{line}: {}", evaluated.stderr);
        serde_json::from_str::<Value>(&evaluated.stdout).unwrap();
    }
    let json = succeeds(path, &format!("train steps=1 dir=<NONE> {} --json", vit("patch=1", "heisenberg Lx=6 Ly=1")));
    assert_eq!(warned(&json, "the ground state is odd"), 1, "{}", json.stderr);
    json.stdout.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
    for remedy in ["patch=2", "patch=1 attention=softmax"] {
        let line = format!("train steps=1 dir=<NONE> {}", vit(remedy, "heisenberg Lx=6 Ly=1"));
        assert_eq!(warned(&succeeds(path, &line), "invariant"), 0, "{line}");
    }
    let line = format!("train steps=1 dir=<NONE> {}", vit("patch=1", "heisenberg Lx=6 Ly=1 marshall=true"));
    assert_eq!(warned(&succeeds(path, &line), "invariant"), 0, "{line}");
    // A sweep warns once if the text does not change, and again where it does.
    let line =
        format!("sweep --samples 32 steps=1 {} --out scan", vit("patch=1", "heisenberg Lx=14 Ly=1 J2=0:0.1:0.1"));
    let ended = succeeds(path, &line);
    assert!((1..=2).contains(&warned(&ended, "the wave function is invariant")), "{}", ended.stderr);
}

#[test]
fn an_evaluation_names_momentum_and_parities() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=1 {} --out run", vit("patch=1", "heisenberg Lx=6 Ly=1")));
    let ended = succeeds(path, "eval run samples=64");
    assert!(ended.stdout.contains("translation along x 1.00000: momentum 0 pi  enumerated"), "{}", ended.stdout);
    // From samples, on a lattice that is too large for a sum over all configurations.
    succeeds(
        path,
        &format!("train steps=1 {} --out large", vit("patch=3x1 proposal=flip", "tfim Lx=18 Ly=1 periodic=true")),
    );
    let json: Value = serde_json::from_str(&succeeds(path, "eval large samples=200 --json").stdout).unwrap();
    let rows = json["sector"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["symmetry"] == name).unwrap();
    let translation = row("translation along x");
    assert_eq!((&translation["samples"], &translation["eigenstate"]), (&200.into(), &false.into()), "{translation}");
    assert!(translation["error"][0].as_f64().unwrap() > 0.0 && translation["momentum"].is_null());
    assert_eq!(rows.len(), 3, "{rows:?}");
}

/// The command that collapsed, and the same one with a temperature.
#[test]
fn a_collapse_is_not_printed_as_a_perfect_result() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = "L=9 K=64 lr=5e-3 clip=1 --rnn patch=3 Nh=16 --tfim h=0.5 periodic=true";
    let ended = succeeds(path, &format!("train steps=150 {line} --out run"));
    assert!(!ended.stdout.contains("± 0.0000") && ended.stdout.contains("± unknown"), "{}", ended.stdout);
    assert!(ended.stdout.contains("variance unknown"), "{}", ended.stdout);
    assert_eq!(warned(&ended, "all samples of 10 steps"), 1, "{}", ended.stderr);
    assert_eq!(warned(&ended, "are one configuration, 111111111"), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("temperature=2") && ended.stderr.contains("K="), "{}", ended.stderr);
    assert!(metrics(&path.join("run")).last().unwrap().contains(",NaN,NaN,"));
    let evaluated = succeeds(path, "eval run samples=256");
    assert_eq!(warned(&evaluated, "all 256 samples are one configuration"), 1, "{}", evaluated.stderr);
    assert!(evaluated.stdout.starts_with("energy -18.0") && evaluated.stdout.contains("V-score unknown"));
    let json: Value = serde_json::from_str(&succeeds(path, "eval run samples=256 --json").stdout).unwrap();
    assert!(json["energy"][0].is_number() && json["energy"][1].is_null() && json["variance"].is_null(), "{json}");
    assert_eq!(json["concentration"]["collapsed"], true);
    assert_eq!(json["concentration"]["configurations"], 1);
    let reported = succeeds(path, "report run samples=256 runs=0");
    assert_eq!(warned(&reported, "are one configuration"), 1, "{}", reported.stderr);
    let page = fs::read_to_string(path.join("run/report.html")).unwrap();
    assert!(page.contains("All samples are the same configuration") && !page.contains("NaN"));
    let resumed = succeeds(path, "train --resume run steps=152 --json");
    let last: Value = serde_json::from_str(resumed.stdout.lines().last().unwrap()).unwrap();
    assert!(last["energy"][1].is_null() && last["variance"].is_null(), "{last}");

    let annealed = succeeds(path, &format!("train steps=600 temperature=2 {line} --out annealed --json"));
    let last: Value = serde_json::from_str(annealed.stdout.lines().last().unwrap()).unwrap();
    assert!(last["relative_error"].as_f64().unwrap() < 2e-3, "{last}");
    assert!(last["energy"][1].as_f64().unwrap() > 0.0, "{last}");
    let first: Value = serde_json::from_str(annealed.stdout.lines().next().unwrap()).unwrap();
    assert!((first["temperature"].as_f64().unwrap() - 1.96).abs() < 1e-9, "{first}");
    let settings = fs::read_to_string(path.join("annealed/settings.json")).unwrap();
    assert!(settings.contains("\"temperature\": 2.0") && settings.contains("\"temperature_steps\": 450"), "{settings}");
}

#[test]
fn a_configuration_that_is_an_eigenstate_is_said_to_be_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = "L=4 K=32 steps=300 lr=0.02 --rnn patch=2x2 Nh=8 --rydberg Omega=0 V=1 delta=-1";
    let ended = succeeds(path, &format!("train {line} --out run"));
    assert!(ended.stdout.contains("variance 0") && warned(&ended, "one configuration") == 0, "{}", ended.stderr);
    let evaluated = succeeds(path, "eval run samples=64");
    assert_eq!(warned(&evaluated, "configuration"), 0, "{}", evaluated.stderr);
    assert!(evaluated.stderr.contains("which is an eigenstate") && evaluated.stdout.contains("± 0.0000"));
}

#[test]
fn points_of_a_collapsed_scan_have_no_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = "L=9 K=64 lr=5e-3 clip=1 steps=100 --rnn patch=3 Nh=16 --tfim h=0.5:0.6:0.1 periodic=true";
    let ended = succeeds(path, &format!("sweep --samples 64 {line} --out scan"));
    let table = fs::read_to_string(path.join("scan/sweep.csv")).unwrap();
    let collapsed = table.lines().skip(1).filter(|row| row.split(',').nth(2) == Some("NaN")).count();
    assert_eq!(collapsed, 2, "{table}");
    assert_eq!(warned(&ended, "all 64 samples are one configuration"), 2, "{}", ended.stderr);
    assert!(!ended.stdout.contains("± 0.0000"), "{}", ended.stdout);
    // A table with unknown errors is read again.
    succeeds(path, "sweep --resume scan");
}

#[test]
fn rare_configurations_are_a_warning_and_a_blockade_leaves_them_out() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let line = |more: &str| {
        format!("train K=256 steps=100 lr=5e-3 clip=1 --rnn patch=3 Nh=16 --rydberg Lx=9 Ly=1 V=30000 {more}")
    };
    let ended = succeeds(path, &format!("{} --out run", line("")));
    assert!(warned(&ended, "--rydberg blockade=1") >= 1, "{}", ended.stderr);
    let evaluated = succeeds(path, "eval run samples=1000");
    assert!(warned(&evaluated, "--rydberg blockade=1") >= 1, "{}", evaluated.stderr);
    let exact = |line: &str| -> f64 {
        let text = succeeds(path, line).stdout;
        text.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // The nearest configurations that remain have the energy V/2⁶.
    let ended = succeeds(path, &format!("{} --out blockade", line("blockade=2")));
    assert_eq!(warned(&ended, "blockade="), 0, "{}", ended.stderr);
    let json: Value = serde_json::from_str(&succeeds(path, "eval blockade samples=1000 --json").stdout).unwrap();
    let ground = json["exact"]["ground_energy"].as_f64().unwrap();
    assert!((ground - exact("exact --rydberg Lx=9 Ly=1 V=30000 blockade=2")).abs() < 1e-9);
    assert!((ground - exact("exact --rydberg Lx=9 Ly=1 V=30000")).abs() < 0.2);
    let total = json["exact"]["enumerated"]["weight"].as_f64().unwrap();
    assert!((total - 1.0).abs() < 1e-5, "{json}");
    let line = "train --rbm --rydberg L=9 blockade=1";
    refuses(path, line, program(path, line), 2, &["rbm", "blockade", "Markov chains"]);
    let line = "exact --rydberg L=9 blockade=0.5";
    refuses(path, line, program(path, line), 2, &["blockade", "0.5"]);
    assert_eq!(run(path, "train --rnn sector=zero --rydberg L=16 blockade=1").code, Some(2));
}
