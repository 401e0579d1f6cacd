//! The command line: invalid input prints one line with a remedy on stderr and leaves no files, valid input leaves a
//! complete run folder.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ketformer::gpu::{Gpu, GpuOptions, TunedVariant, Tuning, VariantSelection};
use ketformer::{Lattice, Ptf, Rydberg, TrainConfig, Trainer};
use program::{TINY, end, metrics, program, refuses, run, succeeds, wait_until, without_driver};
use tempfile::TempDir;

/// Asserts that invalid settings are refused before an adapter is opened: all drivers are hidden.
fn refuses_settings(line: &str, words: &[&str]) {
    let folder = TempDir::new().unwrap();
    refuses(folder.path(), line, without_driver(folder.path(), line), 2, words);
}

#[test]
fn patches_must_divide_the_lattice() {
    refuses_settings("train L=16 --ptf patch=3x3", &["3x3", "4x4"]);
    refuses_settings("train L=16 --ptf patch=3", &["3", "16"]);
    refuses_settings("train L=9 --ptf patch=2x2", &["2x2", "3x3"]);
    refuses_settings("train --ptf patch=3x1 --rydberg Lx=4 Ly=3", &["patch"]);
    refuses_settings("train L=16 --ptf patch=two", &["patch=2x2"]);
    refuses_settings("train L=16 --ptf patch=0x2", &["patch=2x2"]);
    refuses_settings("train L=16 --ptf patch=4x4", &["2^P"]);
}

#[test]
fn heads_must_divide_the_width() {
    refuses_settings("train L=16 --ptf patch=2x2 Nh=32 nhead=5", &["nhead", "32"]);
    refuses_settings("train L=16 --ptf patch=2x2 Nh=30 nhead=5", &["Nh", "4"]);
}

#[test]
fn sizes_are_at_least_one() {
    for (setting, group) in [("L", ""), ("K", ""), ("Q", ""), ("steps", ""), ("report", ""), ("B", "")] {
        refuses_settings(&format!("train {group} {setting}=0"), &[setting, "at least 1"]);
        refuses_settings(&format!("train {group} {setting}=-16"), &[setting, "at least 1"]);
    }
    for setting in ["Nh", "nhead", "num_layers", "ffn", "L"] {
        refuses_settings(&format!("train --ptf {setting}=0"), &[setting, "at least"]);
        refuses_settings(&format!("train --ptf {setting}=-8"), &[setting, "at least"]);
    }
    refuses_settings("train --rydberg Lx=0 Ly=4", &["Lx", "at least 1"]);
    refuses_settings("train --rydberg Lx=4 Ly=-1", &["Ly", "at least 1"]);
    refuses_settings("train lr=0", &["lr", "above 0"]);
    refuses_settings("train lr=-0.1", &["lr", "above 0"]);
    refuses_settings("train --memory 0", &["--memory", "512MiB"]);
    refuses_settings("train --memory -1GiB", &["--memory", "512MiB"]);
}

#[test]
fn absurd_sizes_are_refused_before_they_overflow() {
    refuses_settings("train L=10^12", &["L=10^12", "whole number"]);
    refuses_settings("train L=1000000000000", &["L=1000000000000", "at most"]);
    refuses_settings("train L=99999999999999999999999999", &["at most"]);
    refuses_settings("train L=1048576", &["give"]);
    refuses_settings("train --rydberg Lx=1048576 Ly=1048576", &["Lx"]);
    refuses_settings("train K=1000000000000", &["K", "at most"]);
    refuses_settings("train K=16777216 Q=16777216", &["K*Q", "at most"]);
    refuses_settings("train --ptf Nh=1000000000000", &["Nh", "at most"]);
    refuses_settings("train --memory 1e30", &["--memory"]);
    refuses_settings("exact --rydberg L=1000000000000", &["at most"]);
    refuses_settings("exact --rydberg L=25", &["20 sites"]);
}

#[test]
fn numbers_must_be_finite() {
    for key in ["V", "delta", "Omega"] {
        for value in ["NaN", "inf", "-inf", "1e999"] {
            refuses_settings(&format!("train --rydberg {key}={value}"), &[key, "finite"]);
            refuses_settings(&format!("exact --rydberg {key}={value}"), &[key, "finite"]);
        }
    }
    for key in ["J", "h"] {
        refuses_settings(&format!("train --tfim {key}=NaN"), &[key, "finite"]);
    }
    for key in ["J1", "J2"] {
        refuses_settings(&format!("exact --heisenberg {key}=inf"), &[key, "finite"]);
    }
    refuses_settings("train lr=nan", &["lr", "finite"]);
    refuses_settings("train clip=inf", &["clip", "finite"]);
    refuses_settings("train --rydberg V=seven", &["V=seven", "number"]);
}

#[test]
fn unknown_keys_get_a_suggestion() {
    refuses_settings("train stpes=10", &["stpes", "did you mean steps?"]);
    refuses_settings("train l=16", &["did you mean L?"]);
    refuses_settings("train --rydberg omega=1", &["did you mean Omega?"]);
    refuses_settings("train --ptf nh=32", &["did you mean Nh?"]);
    refuses_settings("train --ptf layers=2", &["did you mean num_layers?", "--vit"]);
    refuses_settings("train V=7", &["--rydberg"]);
    refuses_settings("train --tfim H=1", &["did you mean h?"]);
    refuses_settings("train --tfim periodic=maybe", &["periodic=true"]);
    refuses_settings("train --heisenberg J=1", &["key of --tfim"]);
    refuses_settings("train --heisenberg marshal=true", &["did you mean marshall?"]);
    refuses_settings("train humidity=1", &["the keys are"]);
    refuses_settings("train schedule=cosin", &["schedule=cosine"]);
    refuses_settings("train precision=mixd", &["precision=mixed", "single, mixed"]);
    refuses_settings("train precision=f16", &["single, mixed"]);
    refuses_settings("eval run precision=16", &["single, mixed"]);
    refuses_settings("eval run symmetrize=maybe", &["symmetrize=true"]);
    refuses_settings("eval run symetrize=true", &["did you mean symmetrize?"]);
    refuses_settings("report run sample=10", &["did you mean samples?"]);
    refuses_settings("report run samples=1", &["samples"]);
    refuses_settings("tarin L=16", &["train"]);
    refuses_settings("train --ryberg V=7", &["--rydberg"]);
    refuses_settings("kernels no_such_kernel_at_all", &["kernels"]);
    refuses_settings("help ptff", &["ptf"]);
}

#[test]
fn what_is_given_twice_is_refused() {
    refuses_settings("train --ptf patch=2x2 --rydberg V=7 --ptf Nh=32", &["--ptf"]);
    refuses_settings("train --rydberg --rydberg", &["--rydberg"]);
    refuses_settings("--train L=16 --ptf patch=2x2 --train K=8", &["--train"]);
    refuses_settings("train L=16 --train L=16", &["L is given twice"]);
    refuses_settings("train --ptf Nh=32 Nh=64", &["Nh is given twice"]);
    refuses_settings("train --rydberg V=7 V=7", &["V is given twice"]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    refuses_settings("train L=16 --ptf L=64", &["L=16", "L=64"]);
    refuses_settings("train L=16 --rydberg Lx=3 Ly=4", &["L=12"]);
    refuses_settings("train --rydberg Lx=3", &["Ly="]);
    refuses_settings("train --tfim J=1 --rydberg V=7", &["--rydberg", "--tfim", "keep one"]);
    refuses_settings("train L=16 --tfim L=36", &["--tfim L=36"]);
    refuses_settings("eval run --tfim", &["--weights"]);
    refuses_settings("exact --heisenberg Lx=4 Ly=3 marshall=true", &["4x3", "side of 3", "periodic=false"]);
    refuses_settings("train L=9 --ptf patch=3 --heisenberg marshall=true", &["even sides"]);
    refuses_settings("train L=15", &["Lx="]);
    refuses_settings("train K=8 Q=2 B=8", &["K*Q", "16"]);
    refuses_settings("train dir=a --out b", &["dir=", "--out"]);
    refuses_settings("train L", &["KEY=VALUE"]);
    refuses_settings("train --ptf dropout=0.1", &["dropout=0"]);
    refuses_settings("eval", &["--weights"]);
    refuses_settings("eval a b", &["one by one"]);
    refuses_settings("eval run --ptf patch=2x2", &["--weights"]);
    refuses_settings("report", &["out/1"]);
    refuses_settings("report a b", &["one by one"]);
}

#[test]
fn groups_that_do_not_make_one_wave_function_are_refused() {
    refuses_settings("train --ptf patch=2x2 --rnn patch=2x2", &["--ptf and --rnn", "keep one wave function"]);
    refuses_settings("train --rnn --rbm", &["--rnn and --rbm", "keep one"]);
    refuses_settings("train --lptf patch=2x2", &["sub-sampler", "--rnn", "--ptf"]);
    refuses_settings("train --lptf patch=2x2 --rbm", &["--rbm", "give --rnn or --ptf"]);
    refuses_settings("train --lptf patch=2x2 --rnn --ptf", &["--ptf and --rnn", "keep one sub-sampler"]);
    refuses_settings("train --lptf patch=4x4 --rnn L=8 patch=2x2", &["patch=4x4", "16 sites", "--rnn L=16"]);
    refuses_settings("train --lptf patch=4x2 --ptf L=2x4 patch=2x2", &["patch=4x2", "L=2x4", "--ptf L=4x2"]);
    refuses_settings("train --lptf patch=4x4 --rnn patch=3", &["3", "16"]);
    refuses_settings("train --lptf patch=4x4 Nh=32 --rnn patch=2x2 Nh=64", &["Nh=64", "--rnn Nh=32"]);
    refuses_settings("train --lptf patch=3x3 --rnn patch=3", &["3x3", "4x4"]);
}

#[test]
fn what_a_family_does_not_offer_is_refused() {
    refuses_settings("train --rnn rnntype=LSTM", &["rnntype=LSTM", "not offered", "GRU, ELMAN"]);
    refuses_settings("train --rnn rnntype=gr", &["rnntype=GRU"]);
    refuses_settings("train --rnn patch=3x3", &["3x3", "4x4"]);
    refuses_settings("train --rnn Nh=30", &["Nh", "4"]);
    refuses_settings("train --rnn layers=2", &["key of --vit"]);
    refuses_settings("train --rnn depth=2", &["the keys are L, patch, Nh, rnntype"]);
    refuses_settings("train --rbm alpha=0", &["alpha=0", "such as alpha=2"]);
    refuses_settings("train --rbm alpha=-1", &["alpha=-1", "at least 0"]);
    refuses_settings("train --rbm proposal=swap", &["flip, exchange"]);
    refuses_settings("train --rbm chains=0", &["chains", "at least 1"]);
    refuses_settings("train --rbm patch=2x2", &["--ptf"]);
    refuses_settings("train --vit heads=7", &["heads=7", "heads=6"]);
    refuses_settings("train L=5x4 --vit", &["breaks the periodicity", "patch"]);
    refuses_settings("train L=3x3 --vit patch=1", &["9 have no half", "proposal=flip"]);
    refuses_settings("train alpha=2", &["--rbm"]);
    refuses_settings("train --ptf attention=quadratic", &["softmax, linear"]);
    refuses_settings("train --lptf patch=4x4 --ptf patch=2x2 attention=linear", &["attention=softmax", "--lptf"]);
    refuses_settings("train --ptf norm=none", &["post, pre"]);
    refuses_settings("train --lptf dropout=0.1 --rnn", &["dropout=0"]);
    refuses_settings("train --lptf full_seq=True --rnn", &["full_seq", "leave it out"]);
}

#[test]
fn sectors_that_do_not_fit_are_refused() {
    let zero = "sector=zero";
    refuses_settings(
        &format!("train --ptf patch=3x3 {zero} --tfim Lx=3 Ly=3"),
        &[zero, "9", "even number", "sector=all"],
    );
    refuses_settings(&format!("train --rnn {zero} --rydberg Lx=7 Ly=1"), &["rnn: sector=zero", "7"]);
    refuses_settings(&format!("train --ptf {zero}"), &["ptf", "half of the sites", "sector=all"]);
    refuses_settings(&format!("train --lptf patch=4x2 {zero} --rnn patch=2x1"), &["lptf", "sector=all"]);
    refuses_settings(&format!("train --lptf patch=4x2 --rnn patch=2x1 {zero}"), &["--rnn", "--lptf sector=zero"]);
    refuses_settings("train --rbm proposal=exchange", &["rbm", "half of the sites", "proposal=flip"]);
    refuses_settings("train --rbm proposal=exchange --tfim Lx=3 Ly=3", &["rbm", "9", "proposal=flip"]);
    refuses_settings("train --ptf sector=one", &["all, zero"]);
    refuses_settings("train --lptf patch=4x2 --ptf patch=2x1 phase=true", &["--ptf", "--lptf phase=true"]);
    refuses_settings("train --rnn phase=maybe", &["phase=maybe"]);
}

#[test]
fn weights_that_are_missing_truncated_or_foreign_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=1 {TINY} --out run"));
    let whole = fs::read(path.join("run/model.safetensors")).unwrap();
    fs::write(path.join("half.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fs::write(path.join("short.safetensors"), &whole[..whole.len() - 1]).unwrap();
    fs::write(path.join("empty.safetensors"), []).unwrap();
    fs::write(path.join("text.safetensors"), "PK not a tensor in sight, but long enough to have a header").unwrap();
    for name in ["missing", "half", "short", "empty", "text"] {
        let name = format!("{name}.safetensors");
        for line in [format!("train steps=1 {TINY} --weights {name}"), format!("eval --weights {name} --ptf patch=2x2")]
        {
            // Before an adapter is opened.
            refuses(path, &line, without_driver(path, &line), 1, &[&name]);
        }
    }
    fs::write(path.join("model.pt"), b"\x80\x02}q\x00.").unwrap();
    let line = "eval --weights model.pt --ptf patch=2x2";
    refuses(path, line, without_driver(path, line), 1, &["model.pt", "a pickle", "torch.load", "save_file"]);
    let bytes = 1.0f32.to_le_bytes();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &bytes).unwrap();
    fs::write(path.join("foreign.safetensors"), safetensors::serialize([("foreign", view)], None).unwrap()).unwrap();
    let line = format!("train steps=1 {TINY} --weights foreign.safetensors");
    refuses(path, &line, program(path, &line), 1, &[]);
    let group = TINY.split_once("--ptf").unwrap().1;
    let line = format!("eval --weights foreign.safetensors --ptf L=4 {group}");
    refuses(path, &line, program(path, &line), 1, &[]);
    // Of another width.
    let line = format!("eval --weights run/model.safetensors --ptf L=4 {}", group.replace("Nh=8", "Nh=16"));
    refuses(path, &line, program(path, &line), 1, &[]);
    fs::remove_file(path.join("run/model.safetensors")).unwrap();
    let checkpoint = |step: u64| path.join(format!("run/checkpoint-{step:09}.safetensors"));
    [0, 1].into_iter().for_each(|step| fs::remove_file(checkpoint(step)).unwrap());
    refuses(path, "eval run", without_driver(path, "eval run"), 1, &["model.safetensors"]);
    for command in ["eval", "report"] {
        let line = format!("{command} nowhere");
        refuses(path, &line, without_driver(path, &line), 1, &["nowhere", "out/1"]);
    }
}

#[test]
fn a_run_folder_that_cannot_be_written_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    fs::write(path.join("file"), "mine").unwrap();
    fs::create_dir(path.join("full")).unwrap();
    fs::write(path.join("full/metrics.csv"), "older").unwrap();
    for (place, words) in [
        ("--out file", ["file", "--out"]),
        ("--out file/run", ["file/run", "--out"]),
        ("--out file/a/b", ["file/a/b", "--out"]),
        ("--out full", ["not empty", "--out"]),
        ("dir=file", ["file", "--out"]),
        ("sub_directory=a dir=file", ["file", "--out"]),
    ] {
        let line = format!("train steps=1 {place} {TINY}");
        refuses(path, &line, without_driver(path, &line), 1, &words);
    }
}

#[test]
fn an_adapter_that_does_not_exist_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    // A number is an index, even if it is part of a name.
    for adapter in ["no-such-adapter", "4294967295", "15", "256"] {
        for command in ["train steps=1 --out a/b", "doctor"] {
            let line = format!("{command} --adapter {adapter}");
            refuses(path, &line, program(path, &line), 1, &[adapter]);
        }
        let mut command = program(path, "train steps=1");
        command.env("KETFORMER_ADAPTER", adapter);
        refuses(path, "KETFORMER_ADAPTER", command, 1, &["KETFORMER_ADAPTER", adapter, "0 = "]);
    }
    let mut command = program(path, "train steps=1");
    command.env("WGPU_ADAPTER_NAME", "no-such-adapter");
    refuses(path, "WGPU_ADAPTER_NAME", command, 1, &["WGPU_ADAPTER_NAME=no-such-adapter", "0 = "]);
    // An option comes before the environment.
    let mut command = program(path, &format!("train steps=1 {TINY} --adapter 0 --out run --quiet"));
    command.env("WGPU_ADAPTER_NAME", "no-such-adapter").env("KETFORMER_ADAPTER", "no-such-adapter");
    assert_eq!(end(command).code, Some(0));
}

#[test]
fn a_backend_that_hides_the_adapters_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for line in ["devices", "train steps=1", "tune"] {
        let mut command = program(path, line);
        command.env("WGPU_BACKEND", "gl");
        refuses(path, line, command, 1, &["WGPU_BACKEND=gl", "0 = ", "unset it"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_adapter_at_all_says_what_to_install() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for line in ["train steps=1", "train steps=1 --out a/b/c", "devices", "doctor", "tune"] {
        refuses(path, line, without_driver(path, line), 1, &["adapter", "setup.sh"]);
    }
}

#[test]
fn doctor_checks_the_kernels_that_are_named() {
    let folder = TempDir::new().unwrap();
    let cases = |line: &str| {
        let ended = succeeds(folder.path(), line);
        let of_kernel = |line: &&str| line.starts_with("ok    energy_local ");
        (ended.stdout.lines().filter(of_kernel).count(), ended.stdout.lines().last().unwrap().to_string())
    };
    let (all, summary) = cases("doctor energy_local");
    assert_eq!(summary, format!("{all} cases, all within tolerance"));
    let (quick, summary) = cases("doctor energy_local weights_pack --quick");
    assert!(quick == 2 && quick < all && summary.contains("all within tolerance; without --quick"), "{summary}");
    refuses_settings("doctor energy", &["`energy`", "energy_local"]);
    refuses_settings("doctor --quick --gpu m2", &["--quick", "--gpu"]);
}

#[test]
fn a_command_is_needed() {
    refuses_settings("", &["ketformer help"]);
    refuses_settings("train --adapter", &["--adapter"]);
}

#[test]
fn a_run_leaves_its_folder_and_prints_its_energy() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let ended = succeeds(path, &format!("train steps=5 report=2 seed=3 {TINY} --rydberg V=2 --out run"));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!([words[0], words[2], words[4], words[5], words[7]], ["energy", "±", "per", "site", "variance"]);
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text} in {}", lines[0]));
    assert!((number(words[1]) / 4.0 - number(words[6])).abs() < 1e-3 && number(words[3]) >= 0.0);
    assert!(number(words[8]) >= 0.0);
    let exact: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!((exact[0], exact[2], exact[3], lines.len()), ("exact", "relative", "error", 2));

    let rows = metrics(&path.join("run"));
    assert!(rows[0].starts_with("step,energy,energy_error,variance,"));
    assert_eq!(rows.len(), 6);
    let settings: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path.join("run/settings.json")).unwrap()).unwrap();
    let kept = [&settings["seed"], &settings["rydberg"]["V"], &settings["ptf"]["Nh"]].map(|value| value.as_f64());
    assert_eq!(kept, [Some(3.0), Some(2.0), Some(8.0)]);
    assert!(fs::read_to_string(path.join("run/energy.svg")).unwrap().contains("energy per site"));

    // The reproducing command gives the same run each time, in a new folder.
    let again = settings["command"].as_str().unwrap().strip_prefix("ketformer ").unwrap();
    succeeds(path, again);
    assert_eq!(metrics(&path.join("out/1")), rows);
    succeeds(path, again);
    assert_eq!(metrics(&path.join("out/2")), rows);
    let model = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
    assert_eq!(model("run"), model("out/2"));
    // Another seed gives another run.
    succeeds(path, &again.replace("seed=3", "seed=4"));
    assert_ne!(metrics(&path.join("out/3")), rows);

    let ended = succeeds(path, "eval run samples=64");
    assert!(ended.stdout.starts_with("energy ") && ended.stdout.contains("fidelity "));
    // The weights rounded for sampling are a different wave function, close to the original.
    let of = |line: &str| {
        let said = succeeds(path, line).stdout;
        let enumerated = said.lines().find_map(|line| line.strip_prefix("enumerated energy "));
        enumerated.unwrap().split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    let (single, mixed) = (of("eval run samples=64"), of("eval run samples=64 precision=mixed"));
    assert!(single != mixed && (single - mixed).abs() < 1e-2, "{single} {mixed}");
    let said: serde_json::Value =
        serde_json::from_str(&succeeds(path, "eval run samples=64 --symmetrize --json").stdout).unwrap();
    let enumerated = said["exact"]["enumerated"]["energy"].as_f64().unwrap();
    assert!((enumerated - single).abs() < 1e-6 && said["exact"]["symmetrized"]["fidelity"].is_f64(), "{said}");
    let shape = |name: &str| said[name].as_array().unwrap().len();
    assert_eq!(["correlation", "density_per_site", "structure_factor", "energy"].map(shape), [4, 4, 4, 2]);
    assert!(said["correlation"][1][2][1].as_f64().unwrap() > 0.0 && said["symmetrized"]["symmetries"] == 8, "{said}");
    // The report is reproducible. Without the record of steps it is still written.
    let page = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    for name in ["a.html", "b.html"] {
        succeeds(path, &format!("report run samples=64 runs=0 -o {name} --quiet"));
    }
    assert!(page("a.html") == page("b.html") && page("a.html").contains("energy per site"));
    fs::rename(path.join("run/metrics.csv"), path.join("run/moved.csv")).unwrap();
    let ended = succeeds(path, "report run samples=64 runs=0 --quiet");
    assert!(ended.stderr.contains("without curves"), "{}", ended.stderr);
    assert!(page("run/report.html").contains("no record of steps"));
    fs::rename(path.join("run/moved.csv"), path.join("run/metrics.csv")).unwrap();
    let ended = succeeds(path, "eval run samples=64 --symmetrize");
    assert_eq!(ended.stdout, succeeds(path, "eval run samples=64 symmetrize=true").stdout);
    for part in ["\nsymmetrized energy ", "\nsymmetries 8  even under all  part ", "\nsymmetrized enumerated energy "] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    // The weights can initialize another run.
    succeeds(path, &format!("train steps=1 {TINY} --weights run/model.safetensors --out more"));
}

#[test]
fn the_command_line_of_the_reference_does_the_same() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let (train, group) = TINY.split_once(" --").unwrap();
    let rydberg = "--rydberg V=7 delta=1 Omega=1";
    let ended = succeeds(
        path,
        &format!("--train {train} steps=3 NLOOPS=2 sgrad=False B=8 sub_directory=2x1 --{group} dropout=0.0 {rydberg}"),
    );
    assert_eq!(ended.stderr.matches("NLOOPS").count(), 1, "{}", ended.stderr);
    succeeds(path, &format!("train {train} steps=3 --{group} {rydberg} --out plain"));
    assert_eq!(metrics(&path.join("out/2x1/1")), metrics(&path.join("plain")));
}

#[test]
fn a_run_in_mixed_precision_says_so_in_its_settings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, &format!("train steps=3 precision=mixed {TINY} --out mixed"));
    succeeds(path, &format!("train steps=3 {TINY} --out single"));
    let precision = |run: &str| {
        let text = fs::read_to_string(path.join(run).join("settings.json")).unwrap();
        let settings: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(settings["command"].as_str().unwrap().contains("precision="), "{text}");
        settings["train"]["precision"].as_str().unwrap().to_string()
    };
    assert_eq!([precision("mixed"), precision("single")], ["mixed", "single"]);
    assert_ne!(metrics(&path.join("mixed")), metrics(&path.join("single")));
}

#[test]
fn quiet_runs_say_nothing_but_warnings() {
    let folder = TempDir::new().unwrap();
    let ended = succeeds(folder.path(), &format!("train steps=2 NLOOPS=2 {TINY} --quiet"));
    assert!(ended.stderr.lines().all(|line| line.starts_with("ketformer: warning: ")), "{}", ended.stderr);
    let ended = succeeds(folder.path(), &format!("train steps=2 --quiet --train dir=<NONE> {TINY}"));
    assert!(ended.stdout.starts_with("energy "));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "dir=<NONE> writes nothing");
}

#[cfg(unix)]
#[test]
fn a_program_reads_json_lines() {
    let folder = TempDir::new().unwrap();
    let ended = succeeds(folder.path(), &format!("train steps=5 report=2 seed=3 --json {TINY} --out run"));
    let lines: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    let steps: Vec<u64> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [2, 4, 5, 5]);
    let of = |line: &serde_json::Value| line["energy"][0].as_f64().unwrap();
    assert!(lines[..3].iter().all(|line| of(line).is_finite() && line["samples_per_second"].as_f64().unwrap() > 0.0));
    assert!(lines[3]["done"] == true && lines[3]["exact"].is_f64() && lines[3]["run"] == "run", "{}", lines[3]);
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert!(said.iter().all(|line| line.contains("warning")), "{said:?}");
}

#[test]
fn an_interrupted_run_is_saved() {
    for signal in ["INT", "TERM"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let line = format!("train steps=1000000 report=1 {TINY} --out run");
        let child = program(path, &line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = || fs::read_to_string(path.join("run/metrics.csv")).is_ok_and(|text| text.lines().count() > 3);
        wait_until("the third step", begun);
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal}: {stderr}");
        assert!(stderr.lines().last().unwrap().contains("ketformer train --resume run"), "{stderr}");
        let rows = metrics(&path.join("run"));
        assert!(rows.len() > 3 && rows.last().unwrap().split(',').count() == rows[0].split(',').count());
        succeeds(path, &format!("train steps=1 {TINY} --weights run/model.safetensors"));
    }
}

#[test]
fn help_and_exact_need_no_adapter() {
    let folder = TempDir::new().unwrap();
    let said = |line: &str| {
        let ended = end(without_driver(folder.path(), line));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}");
        ended.stdout
    };
    assert!(
        said("help").contains("train") && said("--help").contains("train") && said("train --help").contains("--out")
    );
    let groups = [
        ("train", "steps 50000 optimizer adam lr - K 256"),
        ("ptf", "Nh 128 nhead 8 attention softmax norm post"),
        ("rnn", "Nh 256 rnntype GRU"),
        ("lptf", "Nh 128 full_seq false"),
        ("rbm", "alpha 2 proposal flip"),
        ("vit", "patch 2x2 d 72 heads 12 layers 8 attention factored proposal exchange"),
        ("rydberg", "V 7"),
        ("tfim", "h 1"),
        ("heisenberg", "J2 0"),
        ("xxz", "Delta 1 periodic false"),
    ];
    for (group, keys) in groups {
        assert!(said("help").lines().any(|line| line.trim_start().starts_with(&format!("{group} "))), "{group}");
        let help = said(&format!("help {group}"));
        for pair in keys.split(' ').collect::<Vec<_>>().chunks(2) {
            let row = help.lines().find(|row| row.split_whitespace().next() == Some(pair[0])).expect(pair[0]);
            assert_eq!(row.split_whitespace().nth(1), Some(pair[1]), "{group}");
        }
    }
    assert!(said("--version").starts_with("ketformer "));
    assert!(!said("kernels").is_empty());
    // −(Ω/2) σx − δ n on one site: −(δ + √(δ² + Ω²))/2.
    let exact = said("exact --rydberg L=1 delta=1 Omega=2");
    assert!(exact.starts_with("energy -1.618033988750 "), "{exact}");
}

#[test]
fn a_run_of_another_hamiltonian_is_evaluated_with_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let ended = succeeds(path, &format!("train steps=2 seed=3 {TINY} --tfim J=0.5 h=2 periodic=true --out run"));
    // Four sites in a ring with four bonds: the exact energy is that of `exact`.
    let exact = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("exact ")).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().nth(1).unwrap().to_string()
    };
    let ground = succeeds(path, "exact --tfim L=4 J=0.5 h=2 periodic=true").stdout;
    let ground: f64 = ground.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((exact(&ended.stdout).parse::<f64>().unwrap() - ground).abs() < 1e-3, "{}", ended.stdout);
    let settings: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path.join("run/settings.json")).unwrap()).unwrap();
    assert!(settings["rydberg"].is_null() && settings["tfim"]["periodic"] == true, "{settings}");
    assert!(settings["command"].as_str().unwrap().contains("--tfim"));
    assert!(fs::read_to_string(path.join("run/energy.svg")).unwrap().contains("tfim 2x2"));
    let ended = succeeds(path, "eval run samples=64");
    assert!((exact(&ended.stdout).parse::<f64>().unwrap() - ground).abs() < 1e-3, "{}", ended.stdout);
}

/// Every family is trained for a few steps, evaluated, and reproduced from its settings.
#[test]
fn every_family_trains_and_is_evaluated() {
    let block = "Nh=8 nhead=2 num_layers=1 ffn=16";
    for (groups, parts) in [
        ("--rnn patch=2x1 Nh=8".to_string(), &["rnn"][..]),
        (
            format!("--ptf patch=2x1 {block} attention=linear norm=pre activation=gelu position=learned start=learned"),
            &["ptf"],
        ),
        (format!("--lptf patch=2x2 {block} --rnn patch=2x1"), &["lptf", "rnn"]),
        (format!("--lptf patch=2x2 {block} --ptf patch=1x2 {block}"), &["lptf", "ptf"]),
        ("--rbm alpha=1 burn_in=5".into(), &["rbm"]),
        ("--vit d=8 heads=2 layers=1 burn_in=2 proposal=flip".into(), &["vit"]),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        succeeds(path, &format!("train L=16 K=16 steps=3 seed=5 {groups} --out run"));
        let settings: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path.join("run/settings.json")).unwrap()).unwrap();
        let named = ["ptf", "rnn", "lptf", "rbm", "vit"].into_iter().filter(|name| settings[name].is_object());
        assert_eq!(named.collect::<Vec<_>>().len(), parts.len(), "{settings}");
        assert!(parts.iter().all(|part| settings[part].is_object()), "{settings}");
        let svg = fs::read_to_string(path.join("run/energy.svg")).unwrap();
        assert!(svg.contains(&format!(", {} ", parts[0])), "the plot names the family");
        let again = settings["command"].as_str().unwrap().strip_prefix("ketformer ").unwrap();
        succeeds(path, again);
        assert_eq!(metrics(&path.join("out/1")), metrics(&path.join("run")), "{groups}");
        let ended = succeeds(path, "eval run samples=32");
        assert!(ended.stdout.starts_with("energy ") && ended.stdout.contains("fidelity "), "{}", ended.stdout);
        assert!(ended.stdout.contains("V-score "), "{}", ended.stdout);
        assert_eq!(succeeds(path, "report run samples=32 runs=0").stdout, "run/report.html\n");
        let page = fs::read_to_string(path.join("run/report.html")).unwrap();
        assert_eq!(page.contains("has no attention"), ["rnn", "rbm"].contains(&parts[0]), "{groups}");
        let has_chains = ["rbm", "vit"].contains(&parts[0]);
        assert_eq!(ended.stdout.contains("error by blocking "), has_chains, "{}", ended.stdout);
        assert_eq!(ended.stdout.contains("split R-hat "), has_chains, "{}", ended.stdout);
    }
}

#[test]
fn a_benchmark_is_written_and_compared() {
    let folder = TempDir::new().unwrap();
    let line = "bench attention --shape 2x2x4x4 --runs 1 --min-time 0 --json new.json --csv new.csv \
                --roofline new.svg";
    let ended = succeeds(folder.path(), line);
    assert!(ended.stderr.contains("ketformer rows forward causal 2x2x4x4"), "{}", ended.stderr);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("new.json")).unwrap()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    // Rows [q | k | v], and separate queries, keys and values, each forward and with backward.
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row["median_ms"].as_f64().unwrap() > 0.0 && row["error"].is_null(), "{row}");
        assert!(row["max_error"].as_f64().unwrap() < 1e-4 && row["gflops"].as_f64().unwrap() > 0.0, "{row}");
        assert!(["timestamp", "host"].contains(&row["clock"].as_str().unwrap()), "{row}");
        for text in
            ["kernel", "variant", "shape", "adapter", "driver", "commit", "launched", "date", "os", "cpu", "wgpu"]
        {
            assert!(!row[text].as_str().unwrap().is_empty(), "{text}: {row}");
        }
        for number in ["median_ms", "cold_ms", "spread", "gflops", "gbytes_per_s", "percent_of_peak", "intensity"] {
            assert!(row[number].as_f64().unwrap() >= 0.0, "{number}: {row}");
        }
        assert_eq!((&row["status"], &row["deterministic"]), (&"PASSED".into(), &true.into()), "{row}");
        assert!(row["launched"].as_str().unwrap().contains(" as "), "{row}");
        // 3.5 times the operations of the forward pass, whatever the kernels recompute.
        let passes = if row["pass"] == "forward" { 1.0 } else { 3.5 };
        assert_eq!(row["flops"].as_f64().unwrap(), passes * 4.0 * 160.0, "{row}");
        assert!(ended.stdout.contains(row["kernel"].as_str().unwrap()));
    }
    assert!(json["limits"]["gflops"].as_f64().unwrap() > 0.0);
    let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(read("new.csv").lines().count(), 5);
    assert!(read("new.svg").starts_with("<svg") && read("new.svg").contains("ketformer rows"));

    // An older file with implausible times.
    let mut old = json.clone();
    for row in old["rows"].as_array_mut().unwrap() {
        row["median_ms"] = 1e9.into();
    }
    fs::write(folder.path().join("old.json"), old.to_string()).unwrap();
    let again = "bench attention --shape 2x2x4x4 --pass forward --runs 1 --min-time 0 --quiet --compare old.json";
    let ended = succeeds(folder.path(), again);
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.contains("old/new") && ended.stdout.contains("1000000000.0000"), "{}", ended.stdout);

    // Both files in one page, in Markdown and in CSV.
    let merge = |end: &str| succeeds(folder.path(), &format!("bench report new.json old.json {end}")).stdout;
    let line = "| 2x2x4x4 | forward causal | f32 |";
    let printed = merge("");
    assert!(printed.lines().any(|row| row.starts_with(line) && row.contains("×)")), "{printed}");
    assert_eq!((merge("-o both.md"), read("both.md")), ("both.md\n".into(), printed));
    assert_eq!((merge("-o both.csv"), read("both.csv").lines().count()), ("both.csv\n".into(), 9));
    merge("--baseline ketformer -o both.html");
    assert!(read("both.html").starts_with("<!DOCTYPE html>") && read("both.html").contains("8 rows of 2 files"));
    for (end, words) in [
        ("--baseline yours", ["`yours`", "ketformer rows"]),
        ("-o both.pdf", ["both.pdf", ".html"]),
        ("--runs 3", ["--runs", "leave"]),
        ("--baseline ketformer --baseline naive", ["one baseline", "naive"]),
        ("missing.json", ["missing.json", "--json"]),
    ] {
        let line = format!("bench report new.json {end}");
        refuses(folder.path(), &line, program(folder.path(), &line), if end == "missing.json" { 1 } else { 2 }, &words);
    }
}

/// Costs against sites: a row for every pass and size, a power law for every pass, and a plot.
#[test]
fn scaling_is_measured_and_drawn() {
    let folder = TempDir::new().unwrap();
    let line = "bench scaling --shape 16x2 --shape 64x2 --shape 144x2 --runs 1 --warmup 0 --seed 3 --json new.json \
                --plot new.svg";
    let ended = succeeds(folder.path(), line);
    assert!(ended.stdout.contains("local energies: N^("), "{}", ended.stdout);
    let parameters = ended.stdout.lines().last().unwrap();
    for family in ["ptf ", "ptf, linear ", "rnn ", "lptf ", "rbm "] {
        assert!(parameters.starts_with("trained parameters: ") && parameters.contains(family), "{parameters}");
    }
    let json: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("new.json")).unwrap()).unwrap();
    let (rows, curves) = (json["rows"].as_array().unwrap(), json["curves"].as_array().unwrap());
    // Five families with three passes, and sampling without a cache.
    assert_eq!((rows.len(), curves.len()), (48, 16));
    for row in rows {
        assert!(row["median_ms"].as_f64().unwrap() > 0.0 && row["error"].is_null(), "{row}");
        assert!(row["max_error"].as_f64().unwrap() < 1e-4, "{row}");
    }
    for curve in curves {
        let points = curve["points"].as_array().unwrap();
        assert_eq!(points.iter().map(|point| point[0].as_f64().unwrap()).collect::<Vec<_>>(), [16.0, 64.0, 144.0]);
        assert!(curve["fit"]["exponent"].is_f64() && curve["fit"]["error"].is_f64(), "{curve}");
    }
    let svg = fs::read_to_string(folder.path().join("new.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("ptf, no cache") && svg.contains("local energies"));
}

#[test]
fn benchmarks_that_cannot_be_are_refused() {
    for (line, words) in [
        ("bench atention", ["attention", "atention"]),
        ("bench suffix --shape 2x2x4x129", ["129", "128"]),
        ("bench attention --shape 2x2x4", ["2x2x4", "1x32/8x2048x128"]),
        ("bench attention --shape 2x0x4x4", ["2x0x4x4", "not a shape"]),
        ("bench attention --shape 70000x70000x8x8", ["70000x70000x8x8", "possible"]),
        ("bench attention --suite shorter", ["shorter", "standard"]),
        ("bench attention --suite short --shape 2x2x4x4", ["--suite", "--shape"]),
        ("bench attention --mask banded", ["banded", "causal"]),
        ("bench attention --suite decode --pass forward-backward", ["mask and pass", "suite"]),
        ("bench attention --dtype bf16", ["bf16", "f16"]),
        ("bench matmul --mask full", ["--mask", "bench attention"]),
        ("bench --shape 2x2x4x4", ["2x2x4x4", "several subjects"]),
        ("bench limits --shape 2x2", ["limits", "no shape"]),
        ("bench categorical --shape 8x17", ["17", "powers of two"]),
        ("bench step --shape 15x8x32", ["15", "L"]),
        ("bench scaling --shape 17x64", ["17", "L"]),
        ("bench scaling --shape 4x64", ["too few", "16"]),
        ("bench scaling --shape 36x64", ["36", "multiple of 4"]),
        ("bench attention --plot new.svg", ["--plot", "scaling"]),
        ("bench attention --out page.html", ["--out", "bench report"]),
        ("bench matmul --gpu rx6800", ["--gpu", "bench model"]),
        ("bench report", ["no files", "--json"]),
        ("bench attention --runs 0", ["run", "--runs 1"]),
        ("bench matmul --variant subgroup3", ["subgroup3", "linear_product subgroup1 subgroup2 subgroup4 scalar"]),
        ("tune --seconds 0", ["seconds", "--seconds 60"]),
    ] {
        refuses_settings(line, &words);
    }
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    fs::write(at.join("foreign.json"), "{}").unwrap();
    for (line, words) in [
        // Beyond the limit of any adapter, but within the range of 32-bit indices.
        ("bench matmul --shape 50000x50000x4", ["bytes", "max_"]),
        ("bench attention --kernel missing.wgsl", ["missing.wgsl", "WGSL"]),
        ("bench attention --compare missing.json", ["missing.json", "--json"]),
        ("bench attention --compare foreign.json", ["foreign.json", "--json"]),
        ("bench attention --json no/such/folder.json", ["folder.json", "exists"]),
    ] {
        refuses(at, line, program(at, line), 1, &words);
    }
}

/// Rows that `bench` writes for `line`.
fn bench_rows(folder: &Path, line: &str) -> Vec<serde_json::Value> {
    let line = format!("bench {line} --runs 1 --warmup 0 --quiet --json rows.json");
    assert_ne!(run(folder, &line).code, Some(2), "{line}");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("rows.json")).unwrap()).unwrap();
    json["rows"].as_array().unwrap().clone()
}

#[test]
fn former_names_of_subjects_print_one_note() {
    let folder = TempDir::new().unwrap();
    for (former, now, shape) in [("head", "categorical", "8x4"), ("moves", "connected", "4x8x8")] {
        let line = format!("bench {former} --shape {shape} --runs 1 --warmup 0");
        let ended = succeeds(folder.path(), &line);
        let note = format!("ketformer: note: {former} is now {now}");
        assert_eq!(ended.stderr.lines().filter(|line| line.contains("note: ")).collect::<Vec<_>>(), [note]);
        assert!(ended.stdout.lines().count() > 1, "{}", ended.stdout);
    }
}

#[test]
fn a_variant_can_be_asked_for_by_name() {
    let folder = TempDir::new().unwrap();
    let rows = bench_rows(folder.path(), "norm --shape 64x32 --variant storage");
    assert_eq!(rows.len(), 3, "every kernel is measured without textures: {rows:?}");
    let rows = bench_rows(folder.path(), "matmul --shape 9x8x12 --variant scalar");
    assert_eq!(rows.len(), 3, "{rows:?}");
    for row in &rows {
        let launched = row["launched"].as_str().unwrap();
        assert!(launched.contains("_scalar") && launched.ends_with(" as scalar"), "{row}");
        assert!(row["median_ms"].as_f64().unwrap() > 0.0, "{row}");
    }
    // A shape that the variant cannot run, or an adapter without subgroups.
    let rows = bench_rows(folder.path(), "attention --shape 2x2x9x6 --variant cluster2");
    assert!(!rows.is_empty());
    for row in &rows {
        let error = row["error"].as_str().unwrap();
        assert!(
            error.contains("cluster2") && (error.contains("multiple of 4, got 6") || error.contains("subgroups")),
            "{row}"
        );
        assert!(row["median_ms"].is_null(), "{row}");
    }
    let at = folder.path();
    let line = "bench norm --shape 4x8 --variant cluster2 --quiet";
    refuses(at, line, program(at, line), 2, &["cluster2", "norm_forward rows1 rows4 tiled scalar"]);
}

/// Adapter of the program, its tuning file in `folder`, and the variant selections of the run of [`TINY`].
fn tiny_choices(folder: &Path) -> (Gpu, PathBuf, Vec<VariantSelection>) {
    let options = GpuOptions { ignore_tuning: true, ..GpuOptions::default() };
    let gpu = Gpu::with_options(&options).expect("the tests need an adapter; ./setup.sh installs a software one");
    let path = folder.join("cache").join(Tuning::file_name(gpu.info()));
    let model =
        Ptf { patch: "2x1".parse().unwrap(), width: 8, heads: 2, layers: 1, feed_forward: 16, ..Ptf::default() };
    let config = TrainConfig { samples: 8, ..TrainConfig::default() };
    let with_selection_log = gpu.with_selection_log();
    Trainer::new(&with_selection_log, &Lattice::square(2, 2), &Rydberg::default(), &model, config).unwrap();
    let mut selections = with_selection_log.selections();
    selections.retain(|selections| selections.bit_identical.len() > 1);
    (gpu, path, selections)
}

#[test]
fn a_tuning_changes_what_runs_and_not_what_comes_out() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let (gpu, file, selections) = tiny_choices(path);
    let line = format!("train steps=3 seed=5 {TINY}");
    succeeds(path, &format!("{line} --out plain"));
    let mut tuning = Tuning::default();
    for selections in &selections {
        let other =
            selections.bit_identical.iter().find(|variant| **variant != selections.default).unwrap().to_string();
        tuning.set(
            selections.kernel,
            &selections.class,
            TunedVariant { variant: other, instead_of: selections.default.into(), gain: 2.0 },
        );
    }
    tuning.save(&file, gpu.info()).unwrap();
    let ended = succeeds(path, &format!("{line} --out tuned"));
    assert!(!ended.stderr.contains("tuning"), "{}", ended.stderr);
    let model = |run: &str| fs::read(path.join(run).join("model.safetensors")).unwrap();
    assert_eq!((metrics(&path.join("tuned")), model("tuned")), (metrics(&path.join("plain")), model("plain")));

    // The tuning file is used, unless --no-tuning is given.
    if let Some(preferred) = tuning.get("linear_product", "forward 8 x 8, few rows") {
        for (flags, variant) in [("", &preferred.variant), ("--no-tuning", &preferred.instead_of)] {
            let rows = bench_rows(path, &format!("matmul --shape 8x8x8 {flags}"));
            assert!(rows[0]["launched"].as_str().unwrap().ends_with(&format!(" as {variant}")), "{flags}: {}", rows[0]);
        }
    }
}

#[test]
fn a_tuning_file_that_is_of_no_use_is_ignored_with_one_warning() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let (gpu, file, _) = tiny_choices(path);
    let preferred = TunedVariant { variant: "scalar".into(), instead_of: "subgroup2".into(), gain: 1.5 };
    let mut tuning = Tuning::default();
    tuning.set("linear_product", "forward 64 x 64, many rows", preferred);
    tuning.save(&file, gpu.info()).unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    let line = format!("train steps=1 --quiet --train dir=<NONE> {TINY}");
    // Other warnings may concern the adapter.
    let warnings = |line: &str| {
        let ended = succeeds(path, line);
        ended.stderr.lines().filter(|line| line.contains("tuning")).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&line), Vec::<String>::new());
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    for (text, said) in [
        (whole[..whole.len() / 2].to_string(), "no whole tuning file"),
        ("{\"rows\": 3}".into(), "no whole tuning file"),
        (whole.replace(&version, "\"version\": \"0.0.0\""), "0.0.0"),
        (whole.replace("\"linear_product\"", "\"no_such_kernel\""), "no_such_kernel"),
        (whole.replace("\"variant\": \"scalar\"", "\"variant\": \"quantum\""), "quantum"),
    ] {
        assert_ne!(text, whole);
        fs::write(&file, &text).unwrap();
        let lines = warnings(&line);
        assert_eq!(lines.len(), 1, "{said}: {lines:?}");
        for word in ["ketformer: warning: tuning: ", said, "tuning-", "ignored", "; `ketformer tune`"] {
            assert!(lines[0].contains(word), "`{word}` in {}", lines[0]);
        }
        assert_eq!(warnings(&format!("{line} --no-tuning")), Vec::<String>::new());
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "only tune writes it");
    }
}

#[test]
fn tuning_writes_what_it_found() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    // Enough for the first variant races.
    let ended = succeeds(path, "tune --quick --seconds 1 --quiet");
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.starts_with("kernel ") && ended.stdout.contains("saved in "), "{}", ended.stdout);
    assert_eq!(fs::read_dir(path.join("cache")).unwrap().count(), 1);
    assert!(ended.stdout.contains("differ from the rules"), "{}", ended.stdout);
    fs::write(path.join("file"), "mine").unwrap();
    let mut command = program(path, "tune --quick --seconds 1 --quiet");
    let ended = end({
        command.env("KETFORMER_CACHE", path.join("file/a"));
        command
    });
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{}", ended.stderr);
    assert!(ended.stderr.contains("KETFORMER_CACHE") && ended.stderr.contains("file/a"), "{}", ended.stderr);
}
