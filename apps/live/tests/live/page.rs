//! The page in headless Chromium with WebGPU on its software driver.

use std::path::PathBuf;

use ketformer::physics::{Hamiltonian, Lattice, Rydberg, ground_energy};
use serde_json::Value;

use crate::energies::{of_app, of_library, run_shown};
use crate::server::serve;
use crate::webdriver::Browser;
use crate::{SMALL, center, detuning, has_other_couplings, settled, slider_at, wait};

/// Where the folder of `build.sh` is served.
fn address() -> String {
    let folder = std::env::var_os("KETFORMER_LIVE_DIST").expect("KETFORMER_LIVE_DIST is the folder of build.sh");
    let port = serve(PathBuf::from(folder));
    format!("http://127.0.0.1:{port}/")
}

/// Settings in an address.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The page with `settings` in a window of `size`.
fn opened(size: [u32; 2], settings: &str) -> Browser {
    let browser = Browser::start(size, true);
    browser.open(&format!("{}?test&settings={}", address(), encoded(settings)));
    browser
}

/// Width, height and number of different colors of a PNG.
fn picture(bytes: &[u8]) -> (u32, u32, usize) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let colors: std::collections::HashSet<_> = pixels.chunks(info.line_size / info.width as usize).collect();
    (info.width, info.height, colors.len())
}

/// Takes a picture of the page and keeps it in `KETFORMER_LIVE_PICTURES`, if that is set.
fn keep_picture(browser: &Browser, name: &str) {
    let bytes = browser.screenshot();
    let (width, height, colors) = picture(&bytes);
    assert!(width > 300 && height > 300 && colors > 100, "{width}x{height} with {colors} colors");
    if let Some(folder) = std::env::var_os("KETFORMER_LIVE_PICTURES") {
        std::fs::write(PathBuf::from(folder).join(name), bytes).unwrap();
    }
}

fn no_errors(browser: &Browser) {
    let errors: Vec<_> = browser.console().into_iter().filter(|[level, _]| level == "SEVERE").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn steps(state: &Value) -> u64 {
    state["step"].as_u64().unwrap_or(0)
}

/// Waits until the app is in a state that `is_it` accepts. A failure ends the test, unless it is expected.
fn until(browser: &Browser, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    wait(what, || Some(browser.state()).filter(|state| !state.is_null() && is_it(state)))
}

fn click(browser: &Browser, name: &str) {
    browser.click(center(&settled(name, || browser.state()), name));
}

/// Compares the values of the first steps with those of a native run.
fn are_close(found: &Value, expected: &[f64]) {
    let found: Vec<f64> = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(found.len(), expected.len());
    let is_close = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-5 * expected.abs();
    assert!(found.iter().zip(expected).all(is_close), "{found:?} are not {expected:?}");
}

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn a_page_trains_to_the_exact_energy() {
    let browser = opened([420, 900], SMALL);
    let state = until(&browser, "an energy within 1 %", |state| {
        assert!(state["failure"].is_null(), "{}", state["failure"]);
        !state["reached"][0].is_null()
    });
    assert_eq!(state["software"], true);
    // The energies of the first steps are those of the library on another driver.
    are_close(&state["first"], &of_library(20));

    click(&browser, "atom 2");
    until(&browser, "the choice of an atom", |state| state["site"] == 2);

    let before = settled("δ", || browser.state());
    browser.drag(slider_at(&before, "δ", 0.46), slider_at(&before, "δ", 0.8));
    until(&browser, "another detuning", |state| has_other_couplings(state, &before));
    until(&browser, "steps with it", |state| steps(state) > steps(&before) + 20 && state["error"].as_f64() < Some(0.2));

    // A hidden tab has no frames, and continues afterwards.
    let before = browser.state();
    browser.while_hidden(|| ());
    let state = until(&browser, "steps after the tab was hidden", |state| steps(state) > steps(&before));
    assert!(state["failure"].is_null());

    // A reload continues from the state that the browser keeps.
    let kept = until(&browser, "a state that is kept", |state| state["kept"].as_u64() > Some(steps(&before)));
    browser.script("location.reload()");
    let state = until(&browser, "the state after the reload", |state| steps(state) > 0);
    assert!(steps(&state) >= kept["kept"].as_u64().unwrap(), "{} steps", steps(&state));
    assert_eq!(detuning(&state), detuning(&kept));
    no_errors(&browser);

    // A lost device gives a message and a restart.
    browser.script("window.ketformer.lose_device()");
    let state =
        until(&browser, "a message", |state| !state["failure"].is_null() && !state["places"]["restart"].is_null());
    assert!(state["failure"].as_str().unwrap().contains("lost"), "{}", state["failure"]);
    click(&browser, "restart");
    let state = until(&browser, "steps on another device", |state| state["failure"].is_null() && steps(state) > 0);
    assert!(steps(&state) >= kept["kept"].as_u64().unwrap());

    // The weights are a file that `ketformer eval` opens.
    browser.resize([420, 2300]);
    click(&browser, "save weights");
    let saved = wait("a download", || {
        let files = std::fs::read_dir(browser.downloads.path()).unwrap();
        let file =
            files.map(|file| file.unwrap().path()).find(|path| path.extension() == Some("safetensors".as_ref()))?;
        Some(file.file_name().unwrap().to_str().unwrap().to_string())
    });
    let state = browser.state();
    let line = state["eval"].as_str().unwrap().to_string();
    assert!(line.contains(&saved), "{line} does not name {saved}");
    let evaluated = run_shown(&format!("{line} --json"), browser.downloads.path());
    let evaluated: Value = serde_json::from_str(&evaluated).unwrap();
    let (energy, exact) = (evaluated["energy"][0].as_f64().unwrap(), 4.0 * state["exact"].as_f64().unwrap());
    assert!((energy - exact).abs() < 0.2 * exact.abs(), "{energy} is far from {exact}");

    for (size, name) in [([390, 844], "live-390.png"), ([1280, 900], "live-1280.png")] {
        browser.resize(size);
        let before = browser.state();
        until(&browser, "a frame of this size", |state| steps(state) > steps(&before) + 3);
        keep_picture(&browser, name);
    }
    no_errors(&browser);
}

/// The energies of the default lattice have an exact one beside them, without a frame that waits for it.
#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn a_page_knows_the_exact_energy_of_sixteen_atoms() {
    let browser = opened([420, 900], r#"{"samples":64,"layers":1}"#);
    let state = until(&browser, "the exact energy", |state| {
        assert!(state["failure"].is_null(), "{}", state["failure"]);
        !state["exact"].is_null() && steps(state) > 0
    });
    let couplings = &state["settings"]["couplings"]["Rydberg"];
    let number = |name: &str| couplings[name].as_f64().unwrap();
    let v = number("omega") * number("radius").powi(6);
    let terms = Rydberg { v, delta: number("delta"), omega: number("omega") }.terms(&Lattice::square(4, 4)).unwrap();
    let exact = ground_energy(&terms, 16).unwrap() / 16.0;
    assert!((state["exact"].as_f64().unwrap() - exact).abs() < 1e-9, "{} is not {exact}", state["exact"]);
    no_errors(&browser);
}

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn a_page_sums_probabilities_without_the_mask_and_sorts_letters() {
    let browser = opened([420, 2300], SMALL);
    until(&browser, "a step", |state| steps(state) > 0);
    click(&browser, "no mask");
    let state = until(&browser, "sums", |state| !state["totals"].is_null());
    let [with, without] = [0, 1].map(|at| state["totals"][at].as_f64().unwrap());
    assert!((with - 1.0).abs() < 1e-5 && (without - 1.0).abs() > 1e-3, "{with} and {without}");

    browser.resize([500, 900]);
    click(&browser, "GPT");
    let state = until(&browser, "written words and twenty steps", |state| {
        assert!(state["failure"].is_null(), "{}", state["failure"]);
        state["sorter"]["step"].as_u64() >= Some(20) && !state["sorter"]["sorted"].is_null()
    });
    // The losses are those of a native run on another driver.
    let (_, expected) = of_app(20, &["--gpt"]);
    are_close(&state["sorter"]["first"], &expected);
    keep_picture(&browser, "live-gpt.png");
    no_errors(&browser);
}

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn the_doctor_compares_kernels_with_their_references() {
    let browser = opened([500, 450], SMALL);
    until(&browser, "a step", |state| steps(state) > 0);
    click(&browser, "doctor");
    // The test `browser` of the library runs all of them.
    let state = until(&browser, "results of many kernels", |state| state["doctor"]["kernels"].as_u64() > Some(24));
    assert_eq!(state["doctor"]["failures"].as_array().unwrap().len(), 0, "{}", state["doctor"]);
    assert!(state["doctor"]["error"].is_null(), "{}", state["doctor"]);
    no_errors(&browser);
}

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn kernels_of_attention_are_compared_in_a_page() {
    let browser = opened([900, 700], SMALL);
    until(&browser, "a step", |state| steps(state) > 0);
    click(&browser, "bench");
    until(&browser, "the page", |state| state["places"]["run"].is_array());
    click(&browser, "run");
    let state =
        until(&browser, "three rows", |state| state["bench"]["rows"].as_array().is_some_and(|rows| rows.len() >= 3));
    click(&browser, "stop");
    for row in state["bench"]["rows"].as_array().unwrap() {
        assert_eq!((&row["status"], &row["backend"]), (&"PASSED".into(), &"BrowserWebGpu".into()), "{row}");
        assert!(row["median_ms"].as_f64().unwrap() > 0.0 && row["deterministic"] == true, "{row}");
        assert_eq!(row["software"], state["software"], "{row}");
    }
    let file: serde_json::Value = serde_json::from_str(state["bench"]["file"].as_str().unwrap()).unwrap();
    assert!(file["limits"]["gflops"].as_f64().unwrap() > 0.0 && file["rows"].as_array().unwrap().len() >= 3, "{file}");
    no_errors(&browser);
}

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn a_browser_without_webgpu_gets_a_message() {
    let browser = Browser::start([700, 500], false);
    browser.open(&address());
    let message = wait("a message", || {
        let text = browser.script("return document.getElementById('message').textContent");
        text.as_str().filter(|text| text.contains("WebGPU")).map(String::from)
    });
    assert!(message.contains("Chrome") && message.contains("Firefox") && message.contains("Safari"), "{message}");
}
