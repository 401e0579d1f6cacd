//! Reports in a browser: layout, legibility, and interaction with sites and patches. Needs Chromium, whose path is in
//! `KETFORMER_CHROMIUM` if it is not `chromium`. To run by hand: `cargo test --release --test report -- --ignored`.
//! With `KETFORMER_SCREENSHOTS=FOLDER` it saves screenshots of the pages.

#[path = "report/made_up.rs"]
mod made_up;
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use ketformer::model::AttentionKind;
use ketformer::run::Report;
use ketformer::{Lattice, Patch};
use serde_json::Value;

/// Page with test scripts: errors of its scripts are recorded from the start, and it is measured at the end by `script`.
fn measured_page(html: &str, script: &str) -> String {
    let catch = "<script>window.mistakes = []; window.onerror = text => { mistakes.push(String(text)); }; \
                 window.onunhandledrejection = event => { mistakes.push(String(event.reason)); };</script></head>";
    let contrast = include_str!("report/contrast.js");
    let measure = format!("<script>{contrast}</script><script>{script}</script></body>");
    html.replacen("</head>", catch, 1).replacen("</body>", &measure, 1)
}

/// Enclosing page with a frame of the given width, because a window of the browser cannot be as narrow as a phone.
fn frame(page: &str, width: u32) -> String {
    format!(
        "<!DOCTYPE html><pre id=\"measured\"></pre><script>onmessage = event => {{ document.getElementById('measured').textContent = event.data; }};</script>\
         <iframe src=\"{page}\" style=\"width:{width}px;height:2400px;border:0\"></iframe>"
    )
}

/// Scripts that use and measure the page of a run and that of a benchmark.
const RUN: &str = include_str!("report/measure.js");
const BENCHMARK: &str = include_str!("report/measure_benchmark.js");

fn chromium(dark: bool) -> Command {
    let program = std::env::var("KETFORMER_CHROMIUM").unwrap_or("chromium".into());
    let mut command = Command::new(program);
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"]);
    command.arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
    command
}

/// Measurements of the page at a width, in light or dark mode.
fn measured(folder: &Path, name: &str, width: u32, dark: bool) -> Value {
    let around = folder.join(format!("{name}-{width}.html"));
    fs::write(&around, frame(&format!("{name}.html"), width)).unwrap();
    let output = chromium(dark)
        .args(["--window-size=1400,2500", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", around.display()))
        .output()
        .expect("KETFORMER_CHROMIUM names no browser");
    let (dom, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("CONSOLE"), "{name} at {width}: {said}");
    let text =
        dom.split("<pre id=\"measured\">").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap_or_default();
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("&nbsp;", "\u{a0}");
    serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{name} at {width}: {cause}: {text} {said}"))
}

/// Maximum height of the page of a small run in a wide window, in pixels.
const HEIGHT: u64 = 3250;

fn check(name: &str, width: u32, dark: bool, report: &Report, found: &Value) {
    let at = format!("{name} at {width}, dark {dark}");
    assert_eq!(found["errors"], Value::Array(Vec::new()), "{at}");
    assert_eq!((found["width"].as_u64(), found["dark"].as_bool()), (Some(width.into()), Some(dark)), "{at}");
    assert!(found["scrolled"].as_u64().unwrap() <= width.into(), "{at}: {} wide", found["scrolled"]);
    let figures = found["figures"].as_array().unwrap();
    let layers = report.attention.as_ref().map_or(0, |maps| 1 + maps.layers.len());
    // Five curves, bars, densities, samples, two of correlations, the structure factor.
    assert_eq!(figures.len(), 11 + layers, "{at}");
    for figure in figures {
        let number = |key: &str| figure[key].as_f64().unwrap();
        assert!(number("width") > 250.0 && number("height") > 80.0, "{at}: {figure}");
        assert!(number("drawn") >= 3.0 && number("words") > 10.0, "{at}: {figure}");
    }
    assert_ne!(found["before"]["sites"], found["after"]["sites"], "{at}: another site changes nothing");
    assert!(["site (0, 0)", "site 0"].contains(&found["named"]["site"].as_str().unwrap()), "{at}");
    assert!(["site (1, 0)", "site 1"].contains(&found["arrow"].as_str().unwrap()), "{at}: {}", found["arrow"]);
    if report.attention.is_some() {
        assert_ne!(found["before"]["tiles"], found["after"]["tiles"], "{at}: another patch changes nothing");
        assert_eq!(found["named"]["patch"], "P1", "{at}");
        assert_eq!((&found["moved"], &found["row"]), (&"P0".into(), &"P1".into()), "{at}: arrow keys and rows");
        let off = found["off"].as_f64().unwrap();
        assert!(off < 0.02 && found["hue"] == true, "{at}: weights are off by {off}");
    }
    assert_eq!(found["overlaps"], Value::Array(Vec::new()), "{at}: letters over letters");
    assert_eq!(found["misplaced"], Value::Array(Vec::new()), "{at}: pictures out of place");
    assert!(found["contrast"][0].as_f64().unwrap() >= 4.5, "{at}: {}", found["contrast"]);
    // Two layers of eight heads.
    let height = found["height"].as_u64().unwrap();
    assert!(name != "causal" || width < 1280 || height < HEIGHT, "{at}: {height} px high");
    assert!(found["letters"].as_f64().unwrap() >= 9.0, "{at}: letters of {} px", found["letters"]);
}

fn screenshots(folder: &Path, name: &str, page: &Path) {
    let Ok(to) = std::env::var("KETFORMER_SCREENSHOTS") else { return };
    fs::create_dir_all(&to).unwrap();
    for (width, height, dark) in [(360, 9000, false), (360, 9000, true), (1280, 5200, false), (1280, 5200, true)] {
        let around = folder.join("screenshot.html");
        let frame = format!(
            "<body style=\"margin:0\"><iframe src=\"{}\" style=\"width:{width}px;height:{height}px;border:0\"></iframe>",
            page.display()
        );
        fs::write(&around, frame).unwrap();
        let plot_style = Path::new(&to).join(format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" }));
        let output = chromium(dark)
            .arg(format!("--window-size={},{height}", width.max(500)))
            .args(["--virtual-time-budget=5000", &format!("--screenshot={}", plot_style.display())])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg(format!("file://{}", around.display()))
            .output()
            .unwrap();
        assert!(output.status.success() && plot_style.is_file(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Report of a run, written by the program.
#[test]
#[ignore = "needs Chromium; .ci/run installs it and runs it"]
fn the_page_of_a_run_works_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    program::succeeds(
        path,
        "train L=16 K=64 steps=30 seed=1 --ptf patch=2x1 Nh=16 nhead=2 ffn=32 --rydberg V=7 --out run",
    );
    let ended = program::succeeds(path, "report run samples=256 -o page.html");
    assert_eq!(ended.stdout, "page.html\n");
    let html = fs::read_to_string(path.join("page.html")).unwrap();
    let settings: Value = serde_json::from_str(&fs::read_to_string(path.join("run/settings.json")).unwrap()).unwrap();
    assert!(html.contains(settings["command"].as_str().unwrap()), "the command is on the page");
    for part in ["sample", "moves", "energy", "forward", "backward", "update"] {
        assert!(html.contains(&format!("<th scope=\"row\">{part}</th>")), "{part} has no time");
    }
    fs::write(path.join("run.html"), measured_page(&html, RUN)).unwrap();
    for (width, dark) in [(360, true), (1280, false)] {
        let found = measured(path, "run", width, dark);
        assert_eq!(found["errors"], Value::Array(Vec::new()), "at {width}");
        // Eleven, and in addition the patches and two layers.
        assert_eq!(found["figures"].as_array().unwrap().len(), 11 + 1 + 2, "at {width}");
        assert!(found["scrolled"].as_u64().unwrap() <= width.into(), "{} wide", found["scrolled"]);
        assert_eq!(found["overlaps"], Value::Array(Vec::new()), "at {width}: letters over letters");
    }
}

#[test]
#[ignore = "needs Chromium; .ci/run installs it and runs it"]
fn pages_can_be_read_and_used_in_a_browser() {
    let (small, large, chain) = (Lattice::square(4, 4), Lattice::square(8, 8), Lattice::chain(16));
    let of = |lattice, patch, kind, layers, heads| Some(made_up::attention(lattice, patch, kind, layers, heads));
    let causal = of(small, Patch::Block([2, 2]), AttentionKind::Causal, 2, 8);
    let full = of(large, Patch::Block([2, 2]), AttentionKind::Full, 1, 2);
    let line = of(chain, Patch::Line(2), AttentionKind::Causal, 1, 2);
    let relative = of(large, Patch::Line(1), AttentionKind::Relative, 1, 4);
    let mut reports = [
        ("causal", made_up::report("ptf patch=2x2, rydberg, 4x4", small, 600, causal)),
        ("full", made_up::report("full attention, tfim, 8x8", large, 600, full)),
        ("chain", made_up::report("ptf patch=2, heisenberg, chain of 16", chain, 60, line)),
        ("relative", made_up::report("vit patch=1x1, j1j2, 8x8", large, 600, relative)),
        ("none", made_up::report("rbm alpha=2, rydberg, 16x16", Lattice::square(16, 16), 600, None)),
    ];
    reports[4].1.estimate.chains = Some(made_up::chains());
    let folder = tempfile::tempdir().unwrap();
    for (name, report) in &reports {
        let page = folder.path().join("as-it-is.html");
        report.save(&page).unwrap();
        let html = fs::read_to_string(&page).unwrap();
        assert!(html.len() < 4 << 20, "{name}: {} bytes", html.len());
        screenshots(folder.path(), name, &page);
        fs::write(folder.path().join(format!("{name}.html")), measured_page(&html, RUN)).unwrap();
        for (width, dark) in [(360, false), (360, true), (1280, false), (1280, true)] {
            check(name, width, dark, report, &measured(folder.path(), name, width, dark));
        }
    }
}

/// Rows of two files, of a kernel that passed and one that did not.
#[test]
#[ignore = "needs Chromium; .ci/run installs it and runs it"]
fn the_page_of_benchmarks_sorts_filters_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let wrong = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kernels/skips_last_key.wgsl");
    let line = format!("bench attention --kernel {wrong} --shape 2x2x4x4 --shape 2x2x16x8 --runs 2 --min-time 0");
    let ended = program::end(program::program(path, &format!("{line} --pass forward --quiet --json a.json")));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    // Another machine, ten times as fast.
    let mut other: Value = serde_json::from_str(&fs::read_to_string(path.join("a.json")).unwrap()).unwrap();
    for row in other["rows"].as_array_mut().unwrap() {
        row["adapter"] = "</script><b>GPU".into();
        if let Some(ms) = row["median_ms"].as_f64() {
            row["median_ms"] = (ms / 10.0).into();
        }
    }
    fs::write(path.join("b.json"), other.to_string()).unwrap();
    program::succeeds(path, "bench report a.json b.json -o page.html");
    let html = fs::read_to_string(path.join("page.html")).unwrap();
    fs::write(path.join("benchmark.html"), measured_page(&html, BENCHMARK)).unwrap();
    screenshots(path, "benchmark", &path.join("page.html"));
    for (width, dark) in [(360, true), (1280, false)] {
        let found = measured(path, "benchmark", width, dark);
        let at = format!("at {width}: {found}");
        assert_eq!(found["errors"], Value::Array(Vec::new()), "{at}");
        assert!(found["scrolled"].as_u64().unwrap() <= width.into(), "{at}");
        // Three kernels at two shapes, on two machines; a group of bars for each shape, two rooflines.
        assert_eq!((&found["rows"], &found["groups"], &found["bars"]), (&12.into(), &2.into(), &12.into()), "{at}");
        assert_eq!((&found["failed"], &found["rooflines"]), (&4.into(), &2.into()), "{at}");
        let sorted = |name: &str| {
            let times: Vec<f64> = found[name].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
            assert_eq!(times.len(), 8, "{at}");
            if name == "rising" { times.is_sorted() } else { times.iter().rev().is_sorted() }
        };
        assert!(sorted("rising") && sorted("falling"), "{at}");
        assert_eq!((&found["filtered"], &found["of_machine"]), (&4.into(), &6.into()), "{at}");
        // The baseline against itself, and on the other machine against the first one.
        let ratios: Vec<f64> =
            found["ratios"].as_array().unwrap().iter().map(|ratio| ratio.as_f64().unwrap()).collect();
        assert_eq!(ratios.len(), 4, "{at}");
        assert!(
            ratios.iter().zip([1.0, 1.0, 10.0, 10.0]).all(|(ratio, expected)| (ratio / expected - 1.0).abs() < 0.01),
            "{at}"
        );
        assert!(found["contrast"][0].as_f64().unwrap() >= 4.5, "{at}");
    }
}
