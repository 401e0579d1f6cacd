//! The page in headless Chromium with WebGPU on its software driver.

use std::path::PathBuf;

use serde_json::Value;

use crate::energies::of_library;
use crate::server::serve;
use crate::webdriver::Browser;
use crate::{SMALL, center, detuning, settled, slider_at, wait};

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

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn a_page_trains_to_the_exact_energy() {
    let browser = Browser::start([420, 900], true);
    let address = address();
    browser.open(&format!("{address}?test&settings={}", encoded(SMALL)));
    let state = until(&browser, "an energy within 1 %", |state| {
        assert!(state["failure"].is_null(), "{}", state["failure"]);
        !state["reached"][0].is_null()
    });
    assert_eq!(state["software"], true);
    // The energies of the first steps are those of the library on another driver.
    let first = state["first"].as_array().unwrap();
    let expected = of_library(first.len() as u64);
    for (found, expected) in first.iter().map(|energy| energy.as_f64().unwrap()).zip(&expected) {
        assert!((found - expected).abs() < 1e-5 * expected.abs(), "{first:?} are not {expected:?}");
    }
    assert_eq!(first.len(), 20);

    click(&browser, "atom 2");
    until(&browser, "the choice of an atom", |state| state["site"] == 2);

    let before = settled("δ", || browser.state());
    browser.drag(slider_at(&before, "δ", 0.46), slider_at(&before, "δ", 0.8));
    let state = until(&browser, "another detuning", |state| detuning(state) > 2.0 && !state["exact"].is_null());
    assert_ne!(state["exact"], before["exact"]);
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

    for (size, name) in [([390, 844], "live-390.png"), ([1280, 900], "live-1280.png")] {
        browser.resize(size);
        let before = browser.state();
        until(&browser, "a frame of this size", |state| steps(state) > steps(&before) + 3);
        keep_picture(&browser, name);
    }
}

#[test]
#[ignore = "needs Chromium and KETFORMER_LIVE_DIST"]
fn the_doctor_compares_kernels_with_their_references() {
    let browser = Browser::start([500, 450], true);
    browser.open(&format!("{}?test&settings={}", address(), encoded(SMALL)));
    until(&browser, "a step", |state| steps(state) > 0);
    click(&browser, "doctor");
    let state = until(&browser, "results of all kernels", |state| state["doctor"]["done"] == true);
    assert_eq!(state["doctor"]["failures"].as_array().unwrap().len(), 0, "{}", state["doctor"]);
    assert!(state["doctor"]["error"].is_null(), "{}", state["doctor"]);
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
