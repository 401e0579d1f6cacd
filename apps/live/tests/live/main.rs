//! The app in a window under Xvfb and in a page in Chromium, driven by its own widgets. `.ci/run` has the programs that
//! these tests need.

mod energies;
mod page;
mod server;
mod webdriver;
mod window;

use std::time::{Duration, Instant};

use serde_json::Value;

/// Settings of a run that takes seconds on a software driver.
const SMALL: &str = r#"{"sides":[2,2],"samples":64,"layers":1}"#;

/// Calls `attempt` until it has a result.
fn wait<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(900);
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in fifteen minutes");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Sides of the widget `name` in a state of the app: left, top, right, bottom.
fn place(state: &Value, name: &str) -> [f64; 4] {
    let sides = &state["places"][name];
    [0, 1, 2, 3].map(|at| sides[at].as_f64().unwrap_or_else(|| panic!("{name} is not in {}", state["places"])))
}

/// Waits until the widget `name` is where it was in an earlier frame, and returns the state.
fn settled(name: &str, mut state: impl FnMut() -> Value) -> Value {
    let mut before = state();
    wait(&format!("a place of {name}"), || {
        let now = state();
        let is_settled = now["frames"] != before["frames"]
            && !now["places"][name].is_null()
            && now["places"][name] == before["places"][name];
        if now["frames"] != before["frames"] {
            before = now.clone();
        }
        is_settled.then_some(now)
    })
}

/// Center of the widget `name`.
fn center(state: &Value, name: &str) -> [f64; 2] {
    let [left, top, right, bottom] = place(state, name);
    [0.5 * (left + right), 0.5 * (top + bottom)]
}

/// A point of the slider `name`.
fn slider_at(state: &Value, name: &str, fraction: f64) -> [f64; 2] {
    let [left, top, right, bottom] = place(state, name);
    // The number is to the right of the slider.
    [left + fraction * (right - left - 70.0), 0.5 * (top + bottom)]
}

fn detuning(state: &Value) -> f64 {
    state["settings"]["couplings"]["Rydberg"]["delta"].as_f64().unwrap()
}

/// Whether the slider of the detuning was moved since `before`, and the exact energy is that of another detuning.
fn has_other_couplings(state: &Value, before: &Value) -> bool {
    detuning(state) > 2.0 && !state["exact"].is_null() && state["exact"] != before["exact"]
}
