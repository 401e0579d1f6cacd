//! The app in a window of an X server without a screen.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::{SMALL, center, detuning, has_other_couplings, settled, slider_at, wait};

/// An X server on a free display.
struct Server {
    process: Child,
    display: String,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1400x1000x24"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, display: format!(":{}", line.trim()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

struct Window {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Window {
    fn open(server: &Server) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ketformer-live"))
            .args(["--drive", "--size", "1000x640", "--settings", SMALL])
            .env("DISPLAY", &server.display)
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn send(&mut self, line: Value) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn state(&mut self) -> Value {
        self.send(json!({"state": 0}));
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the window closed"))
    }

    fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait(what, || Some(self.state()).filter(&is_it))
    }

    fn drag(&mut self, from: [f64; 2], to: [f64; 2]) {
        self.send(json!({ "down": from }));
        self.send(json!({ "move": to }));
        self.send(json!({ "up": to }));
    }

    fn settled(&mut self, name: &str) -> Value {
        settled(name, || self.state())
    }

    fn click(&mut self, name: &str) {
        let place = center(&self.settled(name), name);
        self.drag(place, place);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn steps(state: &Value) -> u64 {
    state["step"].as_u64().unwrap()
}

#[test]
#[ignore = "needs Xvfb"]
fn a_window_trains_to_the_exact_energy() {
    let server = Server::start();
    let mut window = Window::open(&server);
    window.until("an energy within 1 %", |state| {
        assert!(state["failure"].is_null(), "{}", state["failure"]);
        !state["reached"][0].is_null()
    });

    window.click("atom 2");
    window.until("the choice of an atom", |state| state["site"] == 2);

    let before = window.settled("δ");
    window.drag(slider_at(&before, "δ", 0.46), slider_at(&before, "δ", 0.8));
    window.until("another detuning", |state| has_other_couplings(state, &before));
    window.until("steps with it", |state| steps(state) > steps(&before) + 20 && state["error"].as_f64() < Some(0.2));

    // No size and no window leave the app alive.
    window.send(json!({"size": [0, 0]}));
    window.send(json!({"minimize": true}));
    let hidden = window.state();
    window.send(json!({"minimize": false}));
    window.send(json!({"size": [900, 600]}));
    window.until("steps after that", |state| steps(state) > steps(&hidden) + 5);

    // A lost device gives a message and a restart.
    let kept = window.until("a state that is kept", |state| state["kept"].as_u64() > Some(steps(&hidden)));
    window.send(json!({"lose": 0}));
    let state = window.until("a message", |state| !state["places"]["restart"].is_null());
    assert!(state["failure"].as_str().unwrap().contains("lost"), "{}", state["failure"]);
    window.click("restart");
    let state = window.until("steps on another device", |state| state["failure"].is_null() && steps(state) > 0);
    assert!(steps(&state) >= kept["kept"].as_u64().unwrap());
    assert_eq!(detuning(&state), detuning(&kept));

    window.send(json!({"quit": 0}));
    assert!(window.process.wait().unwrap().success());
}
